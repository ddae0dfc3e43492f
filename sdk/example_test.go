package sdk_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/ringwall/ringwall/sdk"
)

// An application enrols once, and from then on all its requests go by the
// policy of its device.
func Example() {
	ctx := context.Background()
	client, err := sdk.Open(ctx, sdk.Config{
		State:    "/var/lib/camera-app",
		Platform: "https://ringwall.example:8443",
		Token:    os.Getenv("RINGWALL_TOKEN"), // one-time; not needed once enrolled
		Pin:      os.Getenv("RINGWALL_PIN"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	web := &http.Client{Transport: client.Transport(nil)}
	resp, err := web.Get("https://api.vendor.example/v1/state")
	if refusal, ok := sdk.AsRefusal(err); ok {
		log.Print(refusal) // says why, and what to ask for
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
}

// A refusal says why, and holds the term to ask the device's owner for.
func ExampleRefusal() {
	s, done := exampleSite()
	defer done()
	client := s.client
	_, err := client.Dialer().DialContext(context.Background(), "tcp", "203.0.113.9:22")
	refusal, _ := sdk.AsRefusal(err)
	fmt.Println(refusal)
	want, _ := refusal.Want()
	fmt.Println(want.Action, want.Direction, want.CIDR, want.Proto, want.Ports)
	// Output:
	// policy refuses opening tcp to 203.0.113.9 port 22: no term allows it (default, generation 1); ask the device's owner to allow tcp 203.0.113.9/32 port 22
	// allow from 203.0.113.9/32 tcp [{22 22}]
}

// Explain tells what would happen, and sends nothing.
func ExampleClient_Explain() {
	s, done := exampleSite()
	defer done()
	for _, to := range []string{"https://api.vendor.example/v1/state", "https://api.vendor.example/admin", "https://tracker.example/"} {
		answers, err := s.client.Explain(context.Background(), sdk.Question{To: to})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answers[0].Pass, answers[0].Reason)
	}
	// Output:
	// true allow
	// false default
	// false lookup
}

// Those who connect to the application come under the policy too.
func ExampleClient_Listener() {
	s, done := exampleSite()
	defer done()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		conn, err := s.client.Listener(l).Accept() // returns only who may come in
		if err == nil {
			conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err == nil {
		_, err = conn.Read(make([]byte, 1)) // a stranger's connection ends
		conn.Close()
	}
	l.Close()
	<-accepted
	fmt.Println(err != nil)
	// Output:
	// true
}
