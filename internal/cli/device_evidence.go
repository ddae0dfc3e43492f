package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/durable"
)

func deviceExamine(k *conn) *cobra.Command {
	c := &cobra.Command{
		Use: "examine DEVICE FILE...", Short: "Examine images, captures or declarations here and hand in what they say of a device",
		Long: `Examine looks at files on this machine as "ringwall assess FILE" does, and hands
in what they say of a device: firmware images and unpacked roots, captures,
declarations and usage descriptions, signed laboratory results. The files stay
here; only what was found goes to the platform, which grades the device anew.`,
		Example: "  ringwall device examine \"Front door camera\" firmware.bin declaration.yaml",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("%s takes a device and at least one file", c.CommandPath())
			}
			return nil
		},
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Assessment, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Assessment{}, err
			}
			data, err := knows(k.env, nil)
			if err != nil {
				return api.Assessment{}, err
			}
			xs, err := evidence(ctx, k.env, args[1:], data)
			if err != nil {
				return api.Assessment{}, err
			}
			var a api.Assessment
			for _, x := range xs {
				if a, err = c.SubmitExamination(ctx, id, x); err != nil {
					return a, fmt.Errorf("handing in what %s says: %w", safe(x.Source), err)
				}
				fmt.Fprintf(k.env.Stderr, "ringwall: %s: %d answers, %d components\n", safe(x.Source), len(x.Findings), len(x.Components))
				for _, n := range x.Notes {
					fmt.Fprintf(k.env.Stderr, "ringwall: %s: %s\n", safe(x.Source), safe(n))
				}
			}
			return a, nil
		}, func(w io.Writer, a api.Assessment) {
			row(w, "grade", fmt.Sprintf("%s (%s), between %s and %s, %.0f %% measured", a.Grade, a.Class, a.Best, a.Worst, 100*a.Coverage))
			for _, r := range a.Reasons {
				row(w, "", r)
			}
		}),
	}
	return c
}

func deviceEvidence(k *conn) *cobra.Command {
	var drop string
	c := &cobra.Command{
		Use: "evidence DEVICE", Short: "What each source found out about a device; or take back what one said", Args: exactArgs(1),
		Example: "  ringwall device evidence 10.77.0.10 --drop declaration/maker",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) ([]api.Examination, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			xs, err := c.Examinations(ctx, id)
			if err != nil || drop == "" {
				return xs, err
			}
			left := slices.DeleteFunc(slices.Clone(xs), func(x api.Examination) bool { return x.Source == drop })
			if len(left) == len(xs) {
				return nil, ringwall.Errorf(ringwall.NotFound, "no source %q has said anything of this device", drop)
			}
			return left, c.DropExamination(ctx, id, drop)
		}, func(w io.Writer, xs []api.Examination) {
			row(w, "KIND", "SOURCE", "MADE", "ANSWERS", "FAILED", "COMPONENTS", "BY")
			for _, x := range xs {
				bad := 0
				for _, f := range x.Findings {
					if f.Outcome == ringwall.Fail {
						bad++
					}
				}
				row(w, x.Kind, x.Source, when(x.Made), len(x.Findings), bad, len(x.Components), dash(x.By))
			}
		}),
	}
	c.Flags().StringVar(&drop, "drop", "", "source whose word is taken back")
	return c
}

// reportFile is where a report goes, and how it is written.
type reportFile struct{ format, out, language string }

func (o *reportFile) flags(c *cobra.Command, otherwise string, formats ...string) {
	known := strings.Join(formats, ", ")
	c.Flags().StringVar(&o.format, "format", otherwise, known)
	c.Flags().StringVarP(&o.out, "output", "o", "", "write to this file (default: the standard output)")
	c.Flags().StringVar(&o.language, "lang", "en", "language: en or zh")
	c.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(formats, o.format) {
			return usagef("--format %q is none of %s", o.format, known)
		}
		if o.language != "en" && o.language != "zh" {
			return usagef("--lang %q is not en or zh", o.language)
		}
		return nil
	}
}

func (o *reportFile) write(k *conn, cmd *cobra.Command, ask func(context.Context, *client.Client) ([]byte, error)) error {
	c, err := k.open()
	if err != nil {
		return err
	}
	b, err := ask(cmd.Context(), c)
	if err != nil {
		return err
	}
	if o.out == "" || o.out == "-" {
		_, err := k.env.Stdout.Write(b)
		return err
	}
	return durable.WriteFile(o.out, b, 0o644)
}

func deviceReport(k *conn) *cobra.Command {
	var o reportFile
	c := &cobra.Command{
		Use: "report DEVICE", Short: "Write the last assessment of a device as a report or as sealed evidence", Args: exactArgs(1),
		Example: "  ringwall device report \"Front door camera\" --format pdf --lang zh -o camera.pdf",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.write(k, cmd, func(ctx context.Context, c *client.Client) ([]byte, error) {
				id, err := deviceID(ctx, c, args[0])
				if err != nil {
					return nil, err
				}
				d, err := c.Device(ctx, id)
				if err != nil {
					return nil, err
				}
				if d.Assess == "" {
					return nil, &ringwall.Error{Code: ringwall.NotFound, Text: fmt.Sprintf("%q was never assessed", d.Name), Hint: `assess it with "ringwall device assess"`}
				}
				return c.Report(ctx, d.Assess, o.format, o.language)
			})
		},
	}
	o.flags(c, "html", "html", "pdf", "sarif", "oscal", "cyclonedx", "csv", "bundle")
	return c
}

func deviceQuestionnaire(k *conn) *cobra.Command {
	var file, language string
	var submit bool
	c := &cobra.Command{
		Use: "questionnaire DEVICE", Short: "What is asked about a device, as JSON; keep answers and hand them in", Args: exactArgs(1),
		Long: `Questionnaire prints what is asked about a device, with what was answered so far.
With --answers FILE it keeps the answers in that file, which looks like what
--json prints or, shorter, {"answers": {"QUESTION": "value"}}; "-" is the standard
input. With --submit the answers so far become a declaration.`,
		Example: "  ringwall device questionnaire 10.77.0.10 --json > q.json\n  ringwall device questionnaire 10.77.0.10 --answers q.json --submit",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Questionnaire, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Questionnaire{}, err
			}
			q, err := c.Questionnaire(ctx, id, language)
			if err != nil {
				return q, err
			}
			if file != "" {
				in, err := readAnswers(k.env, file)
				if err != nil {
					return q, err
				}
				if in.Revision == 0 {
					in.Revision = q.Revision
				}
				if q, err = c.SaveAnswers(ctx, id, language, in); err != nil {
					return q, err
				}
			}
			if submit {
				if _, err := c.SubmitAnswers(ctx, id); err != nil {
					return q, err
				}
				return c.Questionnaire(ctx, id, language)
			}
			return q, nil
		}, func(w io.Writer, q api.Questionnaire) {
			row(w, "answered", fmt.Sprintf("%d of %d", q.Answered, q.Asked))
			for _, a := range q.Questions {
				value := a.Answer
				if !a.Answered {
					value = "(not answered)"
				}
				row(w, a.ID, a.Indicator, a.Text, value)
			}
		}),
	}
	c.Flags().StringVar(&file, "answers", "", "keep the answers in this file")
	c.Flags().BoolVar(&submit, "submit", false, "make the answers so far a declaration")
	c.Flags().StringVar(&language, "lang", "en", "language of the questions: en or zh")
	return c
}

// readAnswers reads answers as they are exported, or by question alone.
func readAnswers(env Env, file string) (in api.Answers, err error) {
	r := env.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return in, gone(err)
		}
		defer f.Close()
		r = f
	}
	var doc struct {
		api.Answers
		Questions []api.Question `json:"questions"`
	}
	b, err := io.ReadAll(io.LimitReader(r, maxPaper))
	if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if err != nil {
		return in, ringwall.Errorf(ringwall.Invalid, "reading the answers: %w", err)
	}
	if in = doc.Answers; in.Answers == nil {
		in.Answers, in.Notes = map[string]string{}, map[string]string{}
		for _, q := range doc.Questions {
			if q.Answered {
				in.Answers[q.ID], in.Notes[q.ID] = q.Answer, q.Note
			}
		}
		in.Revision = 0 // an export is somebody's answers, whatever was asked when it was made
	}
	if len(in.Answers) == 0 {
		return in, ringwall.Errorf(ringwall.Invalid, "the file holds no answers")
	}
	return in, nil
}
