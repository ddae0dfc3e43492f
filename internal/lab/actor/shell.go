package actor

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Bounds of the shell of ours.
const (
	maxTyped    = 1024
	maxDownload = 1 << 20
	failDelay   = time.Second // after a wrong password
)

// shell asks for name and password and then plays the shell of a small device,
// where the machine has no busybox to do it. It knows the few commands that
// attackers of such devices use: nothing it does leaves the actor's /tmp.
func (t *telnet) shell(ctx context.Context, n io.ReadWriter) error {
	for range 3 {
		user, err := ask(n, "\r\n(none) login: ", true)
		if err != nil {
			return err
		}
		pass, err := ask(n, "Password: ", false)
		if err != nil {
			return err
		}
		t.mu.Lock()
		ok := user == "root" && subtle.ConstantTimeCompare([]byte(pass), []byte(t.password)) == 1
		if ok {
			t.logins++
		}
		t.mu.Unlock()
		if ok {
			return t.prompt(ctx, n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(failDelay):
		}
		if _, err := io.WriteString(n, "\r\nLogin incorrect\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// ask prints a question and reads one line.
func ask(n io.ReadWriter, question string, echo bool) (string, error) {
	if _, err := io.WriteString(n, question); err != nil {
		return "", err
	}
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := n.Read(b); err != nil {
			return "", err
		}
		switch {
		case b[0] == '\r' || b[0] == '\n':
			_, err := io.WriteString(n, "\r\n")
			return string(line), err
		case b[0] == 4 && len(line) == 0: // end of input
			return "", io.EOF
		case len(line) == maxTyped:
			return "", errors.New("the line is too long")
		}
		line = append(line, b[0])
		if echo {
			if _, err := n.Write(b); err != nil {
				return "", err
			}
		}
	}
}

func (t *telnet) prompt(ctx context.Context, n io.ReadWriter) error {
	for {
		line, err := ask(n, "# ", true)
		if err != nil {
			return err
		}
		for part := range strings.SplitSeq(line, ";") {
			args := strings.Fields(strings.ReplaceAll(part, "''", "")) // empty quotes are nothing to a shell
			if len(args) == 0 {
				continue
			}
			if args[0] == "exit" || args[0] == "logout" {
				return nil
			}
			out := t.command(ctx, args)
			if _, err := io.WriteString(n, strings.ReplaceAll(out, "\n", "\r\n")); err != nil {
				return err
			}
		}
	}
}

func (t *telnet) command(ctx context.Context, args []string) string {
	if filepath.Base(args[0]) == "busybox" {
		if args = args[1:]; len(args) == 0 {
			return "BusyBox (the range's own stand-in)\n"
		}
		if args[0] != "wget" && args[0] != "echo" && args[0] != "cat" {
			return args[0] + ": applet not found\n"
		}
	}
	switch args[0] {
	case "enable", "system", "shell", "sh", "linuxshell", "chmod":
		return ""
	case "echo":
		return strings.Join(args[1:], " ") + "\n"
	case "id", "whoami":
		return "uid=0(root) gid=0(root)\n"
	case "wget":
		return t.wget(ctx, args[1:])
	case "cat", "ls":
		return ""
	}
	return "sh: " + args[0] + ": not found\n"
}

// wget fetches URL into the file named after -O, below /tmp.
func (t *telnet) wget(ctx context.Context, args []string) string {
	var url, file string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-O" && i+1 < len(args):
			i++
			file = args[i]
		case strings.HasPrefix(args[i], "http://"):
			url = args[i]
		}
	}
	if url == "" || filepath.Dir(filepath.Clean(file)) != "/tmp" {
		return "usage: wget URL -O /tmp/FILE\n"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "wget: bad address\n"
	}
	req.Header.Set("User-Agent", "Wget")
	resp, err := t.e.web().Do(req)
	if err != nil {
		return "wget: can't connect to remote host\n"
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "wget: server returned error: " + resp.Status + "\n"
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDownload))
	if err != nil {
		return "wget: read error\n"
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return "wget: can't open '" + file + "'\n"
	}
	return fmt.Sprintf("'%s' saved\n", file)
}
