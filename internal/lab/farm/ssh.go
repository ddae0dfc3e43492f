package farm

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"

	"golang.org/x/crypto/ssh"
)

// sshd is a server that takes keys only, and none that anybody here has.
func sshd(_ *Box, l net.Listener) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	conf := &ssh.ServerConfig{
		Config: ssh.Config{
			KeyExchanges: []string{"curve25519-sha256", "ecdh-sha2-nistp256"},
			MACs:         []string{"hmac-sha2-256-etm@openssh.com"},
			Ciphers:      []string{"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"},
		},
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, errors.New("not this key")
		},
	}
	conf.AddHostKey(signer)
	return accept(l, func(c net.Conn) {
		if conn, _, _, err := ssh.NewServerConn(c, conf); err == nil {
			_ = conn.Close()
		}
	})
}
