package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/vuln"
)

// dataFile is where this user's vulnerability data lies, if it was updated.
const dataFile = "vulnerabilities.rwv"

// knownVulnerabilities returns the data that was last put in place, or else
// what is built into the program.
func knownVulnerabilities(env Env) (*vuln.Data, error) {
	dir, err := configDir(env)
	if err != nil {
		return vuln.Default(), nil // no home: what is built in
	}
	return dataIn(filepath.Join(dir, dataFile))
}

// dataIn returns what a file holds, or what is built in where that is newer or
// there is no file.
func dataIn(path string) (*vuln.Data, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return vuln.Default(), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := vuln.Load(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	if data.Made().Before(vuln.Default().Made()) {
		return vuln.Default(), nil // the program is newer than what was fetched once
	}
	return data, nil
}

func newData(env Env) *cobra.Command {
	c := &cobra.Command{
		Use: "data", Short: "Known vulnerabilities: what is known, and bringing it up to date without a network",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%s has no verb %q; see %q", c.CommandPath(), args[0], c.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return usagef("say what to do; see %q", c.CommandPath()+" --help")
		},
	}
	c.AddCommand(&cobra.Command{
		Use: "show", Short: "Say which data is in use", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := knownVulnerabilities(env)
			if err != nil {
				return err
			}
			sayData(env.Stdout, d)
			return nil
		},
	}, newDataUpdate(env))
	return c
}

func sayData(w io.Writer, d *vuln.Data) {
	fmt.Fprintf(w, "version %s of %s, %d entries\n", d.Version(), d.Made().Format("2006-01-02"), d.Len())
	for _, s := range d.Sources() {
		fmt.Fprintf(w, "  from %s\n", safe(s))
	}
}

func newDataUpdate(env Env) *cobra.Command {
	var from, kev, nvd, cve []string
	var dir string
	c := &cobra.Command{
		Use: "update", Short: "Take in newer data from files", Args: cobra.NoArgs,
		Long: `Update takes in files that were fetched elsewhere: a bundle of ours (--from), the
catalogue of known exploited vulnerabilities (--kev, CISA's JSON), answers of the
National Vulnerability Database (--nvd, API 2.0 JSON) and CVE records (--cve,
CVE JSON 5). What was examined before is matched with it, without a new scan.`,
		RunE: func(*cobra.Command, []string) error {
			if len(from)+len(kev)+len(nvd)+len(cve) == 0 {
				return usagef("say what to take in: --from, --kev, --nvd or --cve")
			}
			path, err := dataPath(env, dir)
			if err != nil {
				return err
			}
			old, err := dataIn(path)
			if err != nil {
				return err
			}
			data := old
			for _, in := range []struct {
				files []string
				take  func(*vuln.Data, io.Reader) (*vuln.Data, error)
			}{
				{from, func(_ *vuln.Data, r io.Reader) (*vuln.Data, error) { return vuln.Load(r) }},
				{kev, importAny}, {nvd, importAny}, {cve, importAny},
			} {
				for _, path := range in.files {
					if data, err = takeIn(path, data, in.take); err != nil {
						return fmt.Errorf("%s: %w", safe(path), err)
					}
				}
			}
			if err := writeData(path, data); err != nil {
				return err
			}
			delta := vuln.Diff(old, data)
			fmt.Fprintf(env.Stdout, "%d new, %d newly exploited, %d changed\n", len(delta.New), len(delta.KEV), len(delta.Changed))
			sayData(env.Stdout, data)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "data", "", "data directory of a platform on this machine, whose data are to be brought up to date; it takes them in within a minute")
	c.Flags().StringArrayVar(&from, "from", nil, "a bundle of vulnerability data")
	c.Flags().StringArrayVar(&kev, "kev", nil, "the catalogue of known exploited vulnerabilities (JSON, may be gzipped)")
	c.Flags().StringArrayVar(&nvd, "nvd", nil, "answers of the National Vulnerability Database (JSON)")
	c.Flags().StringArrayVar(&cve, "cve", nil, "CVE records (JSON)")
	return c
}

// importAny takes in a file of any known kind, gzipped or not.
func importAny(base *vuln.Data, r io.Reader) (*vuln.Data, error) { return vuln.Import(base, r) }

// dataPath is where data are kept: a platform's, or one's own.
func dataPath(env Env, dir string) (string, error) {
	if dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return "", fmt.Errorf("%s: %w", safe(dir), gone(err))
		}
		return filepath.Join(dir, platform.VulnerabilityFile), nil
	}
	own, err := configDir(env)
	return filepath.Join(own, dataFile), err
}

func takeIn(path string, base *vuln.Data, take func(*vuln.Data, io.Reader) (*vuln.Data, error)) (*vuln.Data, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	return take(base, f)
}

// writeData replaces the data that is in use, all or nothing.
func writeData(path string, d *vuln.Data) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".data-*")
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing vulnerability data: %w", err)
	}
	name := f.Name()
	err = d.Encode(f, nil)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
