package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newUser(env Env) *cobra.Command {
	return noun(env, "user", "People: list, add", []string{"users"}, userList, userAdd)
}

func userList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the people of one's organisation", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.User, error) { return c.Users(ctx) },
			func(w io.Writer, us []api.User) {
				row(w, "NAME", "PARTS", "ID")
				for _, u := range us {
					row(w, u.Name, partsText(u.Parts), u.ID)
				}
			}),
	}
}

func partsText(ps []ringwall.Part) string {
	var s []string
	for _, p := range ps {
		s = append(s, string(p))
	}
	return strings.Join(s, ",")
}

func readParts(names []string) []ringwall.Part {
	var ps []ringwall.Part
	for _, n := range names {
		ps = append(ps, ringwall.Part(n))
	}
	return ps
}

// maxPassword bounds what is read as a password.
const maxPassword = 1024

func userAdd(k *conn) *cobra.Command {
	var parts []string
	c := &cobra.Command{
		Use: "add NAME", Short: "Add a person; the password is the first line of the standard input", Args: exactArgs(1),
		Example: "  ringwall user add mei --part owner < password",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.User, error) {
			line, err := bufio.NewReader(io.LimitReader(k.env.Stdin, maxPassword)).ReadString('\n')
			if password := strings.TrimRight(line, "\r\n"); password != "" {
				return c.CreateUser(ctx, api.UserCreate{Name: args[0], Password: password, Parts: readParts(parts)})
			}
			return api.User{}, &ringwall.Error{Code: ringwall.Invalid, Text: "there is no password on the standard input", Err: err, Hint: "give it as the first line"}
		}, func(w io.Writer, u api.User) { row(w, u.ID) }),
	}
	c.Flags().StringSliceVar(&parts, "part", []string{string(ringwall.PartOwner)}, "part that the person plays; repeat")
	return c
}

func newParty(env Env) *cobra.Command {
	return noun(env, "party", "Parties: list", []string{"parties"}, func(k *conn) *cobra.Command {
		return &cobra.Command{
			Use: "list", Short: "List who plays which part", Args: exactArgs(0),
			RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]ringwall.Party, error) {
				return c.Parties(ctx)
			},
				func(w io.Writer, ps []ringwall.Party) {
					row(w, "SUBJECT", "PART", "ORGANISATION")
					for _, p := range ps {
						row(w, p.Subject, p.Part, p.Org)
					}
				}),
		}
	})
}

func newToken(env Env) *cobra.Command {
	return noun(env, "token", "API tokens: list, add, delete", []string{"tokens"}, tokenList, tokenAdd, tokenDelete)
}

func tokenList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List API tokens without their secrets", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.APIToken, error) { return c.Tokens(ctx) },
			func(w io.Writer, ts []api.APIToken) {
				row(w, "NAME", "PARTS", "MADE", "UNTIL", "ID")
				for _, t := range ts {
					row(w, t.Name, partsText(t.Parts), when(t.Created), when(t.Expires), t.ID)
				}
			}),
	}
}

func tokenAdd(k *conn) *cobra.Command {
	var parts []string
	var life time.Duration
	c := &cobra.Command{
		Use: "add NAME", Short: "Make an API token; it is printed this once", Args: exactArgs(1),
		Example: "  ringwall token add grafana --part auditor > token",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.APIToken, error) {
			in := api.TokenCreate{Name: args[0], Parts: readParts(parts)}
			if life > 0 {
				in.Expires = k.env.Now().Add(life)
			}
			return c.CreateToken(ctx, in)
		}, func(w io.Writer, t api.APIToken) { fmt.Fprintln(w, t.Token) }),
	}
	c.Flags().StringSliceVar(&parts, "part", []string{string(ringwall.PartOwner)}, "part that the token plays; repeat")
	c.Flags().DurationVar(&life, "life", 0, "how long it is good; 0 = until deleted")
	return c
}

func tokenDelete(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "delete TOKEN", Short: "Take an API token back, by its id", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (struct{}, error) {
			return struct{}{}, c.DeleteToken(ctx, ringwall.TokenID(args[0]))
		}, func(io.Writer, struct{}) {}),
	}
}
