package usagelog_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
)

// authority makes certificates that servers of a cluster show each other.
func authority(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cluster"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ClientCAs: pool}
}

// ports returns n free addresses of this machine.
func ports(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// TestCluster_serversDieAndNothingIsLost runs three servers that hold everything
// three times, and stops the one that this client talks to.
func TestCluster_serversDieAndNothingIsLost(t *testing.T) {
	conf, addrs, n := authority(t), ports(t, 3), 3
	brokers, dirs := make([]*broker.Broker, n), make([]string, n)
	up := func(i int) {
		t.Helper()
		var err error
		brokers[i], err = broker.Start(broker.Config{
			Dir: dirs[i], Cluster: &broker.Cluster{Name: fmt.Sprintf("s%d", i), Listen: addrs[i], Peers: addrs, TLS: conf},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		dirs[i] = t.TempDir()
		up(i)
	}
	defer func() {
		for _, b := range brokers {
			b.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	// One client in each of the first two servers' processes.
	var clients [2]*usagelog.Cluster
	for i := range clients {
		{
			c, err := usagelog.Open(ctx, usagelog.Config{InProcess: brokers[i].InProcess, Token: brokers[i].Token(), Shards: 2, Replicas: 3, LogBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			clients[i] = c
			defer c.Close()
		}
	}
	kept := map[string]bool{}
	write := func(c *usagelog.Cluster, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			text := fmt.Sprintf("entry %d", i)
			for {
				if _, err := c.Append(ctx, 1, []byte(text)); err == nil {
					kept[text] = true
					break
				} else if ctx.Err() != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	write(clients[0], 0, 20)
	lease, err := clients[0].Acquire(ctx, 1, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients[1].Acquire(ctx, 1, "b"); err == nil {
		t.Error("two machines own one shard")
	}
	brokers[0].Close() // and with it everything that only it knew
	write(clients[1], 20, 40)
	if err := clients[0].Renew(ctx, lease, "a"); err == nil {
		t.Error("a lease is renewed through a server that is gone")
	}
	up(0)
	write(clients[1], 40, 50)
	read := map[string]int{}
	enough := errors.New("enough")
	err = clients[1].Read(ctx, 1, 1, func(_ uint64, e []byte) error {
		if read[string(e)]++; len(read) == len(kept) {
			return enough
		}
		return nil
	}, func() error { return nil })
	if !errors.Is(err, enough) {
		t.Errorf("of %d entries that were acknowledged %d can be read: %v", len(kept), len(read), err)
	}
	for e := range kept {
		if read[e] == 0 {
			t.Errorf("%s was acknowledged and is gone", e)
		}
	}
}
