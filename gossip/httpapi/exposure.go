package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// MinTokenLength is how many bytes a token has at least: what can be guessed
// protects nothing.
const MinTokenLength = 16

// maxTokenLength bounds a token by what fits into a header.
const maxTokenLength = 1024

// unixPrefix marks the address of a unix socket.
const unixPrefix = "unix:"

// Listen opens the API's listener: host:port, [v6]:port, or unix:/path. A unix
// socket gets mode 0600; a socket file that a dead process left behind is
// replaced, one that somebody answers on is an error that is
// syscall.EADDRINUSE. Closing the listener removes the socket file.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, unixPrefix)
	if !isUnix {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s for the API: %w", address, err)
		}
		return ln, nil
	}
	if err := clearStaleSocket(ctx, path); err != nil {
		return nil, fmt.Errorf("cannot listen on %s for the API: %w", address, err)
	}
	// The mode is set before bind, so that there is no moment at which others
	// could connect; where that has no effect the Chmod below does it.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	ln, err := private.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s for the API: %w", address, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("cannot protect the API's socket: %w", err)
	}
	return ln, nil
}

// clearStaleSocket removes a socket file that nobody listens on.
func clearStaleSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s exists and is no socket: it was left as it is", path)
	}
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("another agent answers there: %w", syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("cannot tell whether another agent uses it: %w", err)
}

// CheckExposure refuses an address that other machines could reach while
// nothing asks them who they are: neither a token nor client certificates
// (mutual TLS). Loopback addresses and unix sockets are the operating system's
// to protect. A name counts by all addresses that it resolves to.
func CheckExposure(address string, hasToken, hasMTLS bool) error {
	if hasToken || hasMTLS || strings.HasPrefix(address, unixPrefix) {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the API's address %q is neither host:port nor unix:/path: %w", address, err)
	}
	local, err := isLoopback(host)
	if err != nil {
		return fmt.Errorf("cannot tell who could reach the API's address %q: %w", address, err)
	}
	if !local {
		return fmt.Errorf("the API's address %s can be reached from other machines, who could then change this node: "+
			"set api.token_file or api.tls.client_ca, or listen on 127.0.0.1, [::1] or unix:/path", address)
	}
	return nil
}

func isLoopback(host string) (bool, error) {
	if host == "" {
		return false, nil // all interfaces
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, err
	}
	for _, ip := range addrs {
		if !ip.Unmap().IsLoopback() {
			return false, nil
		}
	}
	return len(addrs) > 0, nil
}

// ReadTokenFile reads a bearer token: one line in a file that only its owner
// can read (mode 0600 or less). Errors never show the content.
func ReadTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the API's token: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot read the API's token: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("token file %s can be read by others (mode %04o): run chmod 600 on it", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, 2*maxTokenLength))
	if err != nil {
		return "", fmt.Errorf("cannot read the API's token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("token file %s: %w", path, err)
	}
	return token, nil
}

func checkToken(token string) error {
	switch {
	case len(token) < MinTokenLength || len(token) > maxTokenLength:
		return fmt.Errorf("the token has %d bytes: %d to %d are needed", len(token), MinTokenLength, maxTokenLength)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token holds a space or a character that is not printable ASCII")
	}
	return nil
}

// LoadTLS reads the API's certificate and private key (PEM). With a clientCA
// clients must show a certificate that comes from it (mutual TLS).
func LoadTLS(cert, key, clientCA string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the API's certificate %s with key %s: %w", cert, key, err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if clientCA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA of the API's clients: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA of the API's clients, %s, holds no certificate in PEM", clientCA)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}

// hash is what tokens are compared by: of equal length whatever was sent, so
// that the time of the comparison tells nothing.
func hash(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
