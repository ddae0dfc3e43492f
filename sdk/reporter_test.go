package sdk_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

// reporter is a terminal that only reports.
type reporter struct {
	c     *paho.Client
	topic string
	seq   uint64
	bin   []byte
}

func newReporter(b *testing.B, s *site) *reporter {
	b.Helper()
	gw := ringwall.GatewayID(ringwall.NewID(ringwall.PrefixGateway, time.Now()))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.Fatal(err)
	}
	cert, err := s.auth.SignGateway(s.org, gw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert.PEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		b.Fatal(err)
	}
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: s.auth.Pool(), ServerName: "127.0.0.1"})
	if err != nil {
		b.Fatal(err)
	}
	r := &reporter{topic: api.Topic(s.org, gw, api.TopicReport)}
	r.c = paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn)})
	if _, err := r.c.Connect(b.Context(), &paho.Connect{ClientID: string(gw), KeepAlive: 60, CleanStart: true}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.c.Disconnect(&paho.Disconnect{}) })
	r.bin, err = flow.Record{
		Start: time.Now(), End: time.Now(), Device: "dev_06e0g7z1qk2m3n4p5q6r7s8t9v", Direction: flow.FromDevice, Proto: 6, Reason: "allow", Term: "cloud", Name: "api.example",
		Local: netip.MustParseAddrPort("192.0.2.7:40000"), Remote: netip.MustParseAddrPort("203.0.113.5:443"), PacketsUp: 10, BytesUp: 4000, Generation: 3,
	}.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *reporter) send(n int) error {
	batch := api.Batch{Version: api.Version, Epoch: 1}
	for range n {
		r.seq++
		batch.Records = append(batch.Records, api.Record{Seq: r.seq, Time: time.Now(), Kind: api.RecordFlow, Bin: r.bin})
	}
	payload, err := api.AppendTerminalBatch(nil, batch)
	if err != nil {
		return err
	}
	ack, err := r.c.Publish(context.Background(), &paho.Publish{QoS: 1, Topic: r.topic, Payload: payload})
	if err != nil {
		return err
	}
	if ack.ReasonCode != 0 {
		return fmt.Errorf("reason code %#x", ack.ReasonCode)
	}
	return nil
}
