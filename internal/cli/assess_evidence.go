package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/declare"
	"github.com/ringwall/ringwall/internal/inspect"
	"github.com/ringwall/ringwall/internal/probe/leakage"
)

// maxPaper bounds a declaration or an examination that is read from a file.
const maxPaper = 16 << 20

// isFile reports whether a target names something on this machine's disk. What
// could be a host is a host: a file of that name is given as ./NAME.
func isFile(arg string) bool {
	if strings.Contains(arg, "://") {
		return false
	}
	if _, _, err := parseTarget(context.Background(), arg); err == nil && !strings.ContainsAny(arg, `/\`) && !strings.Contains(arg, ".") {
		return false
	}
	_, err := os.Stat(arg)
	return err == nil
}

// evidence reads files of any kind that says something about one device:
// firmware images and unpacked roots, captures, declarations, usage
// descriptions, signed results. Images given together are one device's.
func evidence(ctx context.Context, env Env, files []string, data *known) ([]api.Examination, error) {
	var out []api.Examination
	var images []inspect.Named
	for _, path := range files {
		x, im, err := look(ctx, env, path, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safe(path), err)
		}
		if im != nil {
			images = append(images, inspect.Named{Name: filepath.Base(path), Image: im})
			continue
		}
		out = append(out, x)
	}
	if len(images) > 0 {
		x, err := inspect.Images(ctx, images, inspectOptions(env, data))
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func inspectOptions(env Env, data *known) inspect.Options {
	return inspect.Options{Now: env.Now, Matcher: data, Tool: toolName()}
}

// look reads one file, or opens it when it is an image.
func look(ctx context.Context, env Env, path string, data *known) (x api.Examination, im *firmware.Image, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return x, nil, gone(err)
	}
	if info.IsDir() {
		tree, err := firmware.FromDir(path)
		if err != nil {
			return x, nil, err
		}
		o := inspectOptions(env, data)
		o.Name = filepath.Base(filepath.Clean(path))
		x, err = inspect.Tree(ctx, tree, o)
		return x, nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return x, nil, gone(err)
	}
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return x, nil, errors.Join(err, f.Close())
	}
	head = head[:n]
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return x, nil, errors.Join(err, f.Close())
	}
	switch {
	case isCapture(head):
		defer f.Close()
		x, err = leakage.File(ctx, f, leakage.Config{})
		return x, nil, err
	case info.Size() <= maxPaper && isText(path, head):
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxPaper))
		if err != nil {
			return x, nil, err
		}
		x, err = paper(env, path, b, data)
		return x, nil, err
	}
	im, err = firmware.OpenContext(ctx, f, info.Size(), firmware.Options{})
	if err != nil {
		return x, nil, errors.Join(err, f.Close())
	}
	return x, im, nil // the image reads the file for as long as the program runs
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ringwall.Errorf(ringwall.NotFound, "there is no such file")
	}
	return err
}

// isCapture knows pcap (both orders, micro- and nanoseconds) and pcapng.
func isCapture(head []byte) bool {
	for _, magic := range [][]byte{{0xd4, 0xc3, 0xb2, 0xa1}, {0xa1, 0xb2, 0xc3, 0xd4}, {0x4d, 0x3c, 0xb2, 0xa1}, {0xa1, 0xb2, 0x3c, 0x4d}, {0x0a, 0x0d, 0x0d, 0x0a}} {
		if bytes.HasPrefix(head, magic) {
			return true
		}
	}
	return false
}

// isText reports whether a file is a document for people and programs, by its
// name or by beginning like one.
func isText(path string, head []byte) bool {
	if slices.Contains([]string{".json", ".yaml", ".yml", ".mud"}, strings.ToLower(filepath.Ext(path))) {
		return true
	}
	return bytes.HasPrefix(bytes.TrimSpace(head), []byte("{")) || bytes.HasPrefix(head, []byte("---\n"))
}

// paper reads what somebody wrote down, in the name of who the file is called by.
func paper(env Env, path string, b []byte, data *known) (api.Examination, error) {
	who := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if isSBOM(b) {
		return bill(env, who, b, data)
	}
	return declare.Handed(b, who, env.Now())
}

// judged makes an assessment of evidence alone, with nothing asked of a device.
func judged(env Env, name string, p api.Profile, xs []api.Examination, labs []api.Laboratory, data *known) api.Assessment {
	now := env.Now().UTC()
	rubric := assess.Default().For(p)
	findings := assess.Evidence(xs, labs)
	res := assess.Grade(rubric, findings, now)
	a := api.Assessment{
		ID: ringwall.AssessID(ringwall.NewID(ringwall.PrefixAssess, now)), Target: name, Started: now, Ended: now, Services: []api.Service{},
		Findings: rubric.Settled(findings, now), Examinations: xs,
	}
	res.Fill(&a, rubric)
	a.Prescribed = assess.Prescribe(rubric, res, false)
	for _, x := range xs {
		id := x.Identity
		for _, f := range [][2]*string{{&a.Vendor, &id.Vendor}, {&a.Model, &id.Model}, {&a.Firmware, &id.Firmware}, {&a.Type, &id.Type}} {
			if *f[0] == "" {
				*f[0] = *f[1]
			}
		}
	}
	a.Vulnerabilities = vulnerabilities(data, a)
	return a
}

// vulnerabilities lists what is known of the software and the model.
func vulnerabilities(data *known, a api.Assessment) (out []api.Vulnerability) {
	var all []api.Component
	for _, x := range a.Examinations {
		all = append(all, x.Components...)
	}
	out = append(out, data.Match(all)...)
	return append(out, data.MatchDevice(api.Identity{Vendor: a.Vendor, Model: a.Model, Firmware: a.Firmware})...)
}

// called names what files alone tell of: the first, and how many more.
func called(files []string) string {
	name := filepath.Base(filepath.Clean(files[0]))
	if n := len(files) - 1; n > 0 {
		name += fmt.Sprintf(" and %d more", n)
	}
	return name
}
