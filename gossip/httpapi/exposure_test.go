package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func contextWithLocal(r *http.Request, addr net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, addr)
}

func TestCheckExposure(t *testing.T) {
	for _, tc := range []struct {
		address string
		exposed bool
	}{
		{"127.0.0.1:7980", false}, {"127.1.2.3:7980", false}, {"[::1]:7980", false}, {"[::ffff:127.0.0.1]:7980", false},
		{"localhost:7980", false}, {"unix:/run/a.sock", false},
		{":7980", true}, {"0.0.0.0:7980", true}, {"[::]:7980", true}, {"10.0.0.1:7980", true}, {"[fd00::1]:7980", true}, {"8.8.8.8:80", true},
	} {
		err := CheckExposure(tc.address, false, false)
		if (err != nil) != tc.exposed {
			t.Errorf("%s: %v", tc.address, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "api.token_file") || !strings.Contains(err.Error(), "api.tls.client_ca")) {
			t.Errorf("%s: the error does not say what to set: %v", tc.address, err)
		}
		if CheckExposure(tc.address, true, false) != nil || CheckExposure(tc.address, false, true) != nil {
			t.Errorf("%s: refused though it is protected", tc.address)
		}
	}
	for _, address := range []string{"", "localhost", "127.0.0.1", "no.such.name.invalid:7980"} {
		if CheckExposure(address, false, false) == nil {
			t.Errorf("%q was let through", address)
		}
	}
}

// socketPath is short: the kernel takes about 100 bytes.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "hb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "a.sock")
}

func TestListenUnix(t *testing.T) {
	path := socketPath(t)
	ln, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second agent on a live socket: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the live socket was removed: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("closing left the socket file: %v", err)
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := socketPath(t)
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close() // as after SIGKILL: the file stays
	ln, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatalf("the leftover of a dead process is in the way: %v", err)
	}
	_ = ln.Close()
}

func TestListenKeepsOtherFiles(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("the file was harmed: %q %v", data, err)
	}
	if _, err := Listen(t.Context(), "unix:"+filepath.Join(path, "below")); err == nil {
		t.Error("a socket below a file was opened")
	}
}

func TestListenTCP(t *testing.T) {
	ln, err := Listen(t.Context(), "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback here: %v", err)
	}
	defer ln.Close()
	if _, err := Listen(t.Context(), ln.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("a port in use: %v", err)
	}
}

func TestReadTokenFile(t *testing.T) {
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		complaint     string // empty: fine
	}{
		{"fine", testToken + "\n", 0o600, ""},
		{"read-only", "  " + testToken, 0o400, ""},
		{"group", testToken, 0o640, "chmod 600"},
		{"others", testToken, 0o604, "chmod 600"},
		{"short", "secret-secret", 0o600, "13 bytes"},
		{"empty", "\n", 0o600, "0 bytes"},
		{"spaces", "secret secret secret", 0o600, "space"},
		{"two lines", "secret-secret-secret\nsecret", 0o600, "space"},
		{"huge", strings.Repeat("secret", 1000), 0o600, "bytes"},
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(tc.content), tc.mode); err != nil {
			t.Fatal(err)
		}
		token, err := ReadTokenFile(path)
		switch {
		case tc.complaint == "":
			if err != nil || token != testToken {
				t.Errorf("%s: %q %v", tc.name, token, err)
			}
		case err == nil || token != "" || !strings.Contains(err.Error(), tc.complaint) || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: %q %v", tc.name, token, err)
		}
	}
	if _, err := ReadTokenFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
