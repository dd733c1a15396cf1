package httpapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority makes certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(name, true)
	return a
}

func (a *authority) sign(name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.cert, a.key
	if ca {
		parent, signer = template, key
		template.KeyUsage = x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", keyDER)
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) clientTLS(name string) *tls.Config {
	a.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	cfg := &tls.Config{RootCAs: pool}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg
}

func TestMutualTLS(t *testing.T) {
	ours, foreign := newAuthority(t, "ca"), newAuthority(t, "ca")
	ours.sign("agent", false)
	ours.sign("operator", false)
	foreign.sign("stranger", false)
	serverTLS, err := LoadTLS(ours.path("agent.pem"), ours.path("agent.key"), ours.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	h := start127(t, func(cfg *ServerConfig, _ *Server) { cfg.TLS = serverTLS })
	stranger := ours.clientTLS("")
	stranger.Certificates = foreign.clientTLS("stranger").Certificates
	for _, tc := range []struct {
		name    string
		address string
		tls     *tls.Config
		ok      bool
	}{
		{"operator", h.addr, ours.clientTLS("operator"), true},
		{"operator by URL", "https://" + h.addr, ours.clientTLS("operator"), true},
		{"no certificate", h.addr, ours.clientTLS(""), false},
		{"a certificate of another authority", h.addr, stranger, false},
		{"an agent of another authority", h.addr, foreign.clientTLS("stranger"), false},
		{"plain text", "http://" + h.addr, nil, false},
	} {
		c, err := NewClient(ClientConfig{Address: tc.address, TLS: tc.tls})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Leave(t.Context())
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.ok {
			err = c.Events(t.Context(), EventOptions{Backlog: 1}, func(Event) error { return errEnough })
			if !errors.Is(err, errEnough) {
				t.Errorf("%s: a stream: %v", tc.name, err)
			}
		}
		c.Close()
	}
	if got := h.node.changes(); len(got) != 2 {
		t.Errorf("changes: %v", got)
	}
}

func TestLoadTLSErrors(t *testing.T) {
	a := newAuthority(t, "ca")
	a.sign("agent", false)
	a.sign("other", false)
	for _, tc := range []struct{ cert, key, ca, want string }{
		{"agent.pem", "other.key", "", "cannot use the API's certificate"},
		{"none.pem", "agent.key", "", "no such file"},
		{"agent.pem", "agent.key", "none.pem", "no such file"},
		{"agent.pem", "agent.key", "agent.key", "no certificate in PEM"},
	} {
		ca := tc.ca
		if ca != "" {
			ca = a.path(ca)
		}
		if _, err := LoadTLS(a.path(tc.cert), a.path(tc.key), ca); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
	if cfg, err := LoadTLS(a.path("agent.pem"), a.path("agent.key"), ""); err != nil || cfg.ClientAuth != tls.NoClientCert {
		t.Errorf("%v", err)
	}
}
