package gossip

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"heartbeat/membership"
)

func newKey(t *testing.T, bits int) string {
	t.Helper()
	key, err := GenerateKey(bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeyringFileKeepsEveryChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.json")
	a, b := newKey(t, 256), newKey(t, 128)
	k, err := CreateKeyring(path, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateKeyring(path, b); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating it again: %v", err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	idA := k.List()[0].ID
	idB, err := k.Install(b)
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, want ...KeyInfo) {
		t.Helper()
		reread, err := LoadKeyring(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, ring := range map[string]*Keyring{"memory": k, "file": reread} {
			got := ring.List()
			if len(got) != len(want) {
				t.Fatalf("%s, %s: %+v", step, name, got)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%s, %s: key %d is %+v, want %+v", step, name, i, got[i], want[i])
				}
			}
		}
	}
	check("install", KeyInfo{idA, 256, true}, KeyInfo{idB, 128, false})
	if err := k.Remove(idA); !errors.Is(err, ErrPrimaryKey) {
		t.Errorf("removing the primary key: %v", err)
	}
	if err := k.Use(idB); err != nil {
		t.Fatal(err)
	}
	check("use", KeyInfo{idB, 128, true}, KeyInfo{idA, 256, false})
	if err := k.Remove(idA); err != nil {
		t.Fatal(err)
	}
	check("remove", KeyInfo{idB, 128, true})
	if err := k.Use(idA); !errors.Is(err, ErrNoSuchKey) {
		t.Errorf("using a removed key: %v", err)
	}
}

func TestLoadKeyringRefuses(t *testing.T) {
	good := newKey(t, 256)
	for _, tc := range []struct {
		name, content string
		mode          fs.FileMode
		want          string
	}{
		{"readable by others", `["` + good + `"]`, 0o644, "run chmod 600"},
		{"torn", `["` + good[:10], 0o600, "is damaged: it is not a JSON list"},
		{"empty", ``, 0o600, "is damaged"},
		{"no key", `[]`, 0o600, "it holds 0 keys"},
		{"not base64", `["!!!"]`, 0o600, "key 1 of 1: the key is not valid base64"},
		{"wrong length", `["` + base64.StdEncoding.EncodeToString([]byte("short")) + `"]`, 0o600, "the key has 5 bytes: AES takes 16, 24 or 32"},
	} {
		path := filepath.Join(t.TempDir(), "keyring.json")
		if err := os.WriteFile(path, []byte(tc.content), tc.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadKeyring(path)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), good) {
			t.Errorf("%s: the error shows the key", tc.name)
		}
		if after, _ := os.ReadFile(path); string(after) != tc.content {
			t.Errorf("%s: the file was changed", tc.name)
		}
	}
	if _, err := LoadKeyring(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestKeyringThatCannotBeSavedStaysAsItWas(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "keyring.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := CreateKeyring(path, newKey(t, 256))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Install(newKey(t, 256)); err == nil || !strings.Contains(err.Error(), "its keys stay as they were") {
		t.Errorf("install: %v", err)
	}
	if got := k.List(); len(got) != 1 {
		t.Errorf("keys after the failure: %+v", got)
	}
}

func TestKeyRotationInARunningCluster(t *testing.T) {
	a, b := newKey(t, 256), newKey(t, 192)
	var rings []*Keyring
	nodes := cluster(t, 3, func(c *Config) {
		k, err := NewKeyring(a)
		if err != nil {
			t.Fatal(err)
		}
		rings = append(rings, k)
		c.Keyring = k
	})
	old := rings[0].List()[0].ID
	for _, step := range []func(*Keyring) error{
		func(k *Keyring) error { _, err := k.Install(b); return err },
		func(k *Keyring) error { return k.Use(mustID(t, b)) },
		func(k *Keyring) error { return k.Remove(old) },
	} {
		for _, k := range rings {
			if err := step(k); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := nodes[2].UpdateTags(t.Context(), map[string]string{"at": rings[0].List()[0].ID[:4]}, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := quick("n4")
	var err error
	if c.Keyring, err = NewKeyring(b); err != nil {
		t.Fatal(err)
	}
	n4 := start(t, c)
	if _, err := n4.Join(t.Context(), seedOf(nodes[0])); err != nil {
		t.Fatal(err)
	}
	for _, n := range append(nodes, n4) {
		eventually(t, func() error { return wantCounts(n, 4, 0, 0) })
		if s := n.Stats().Tap; s.Unreadable > 0 {
			t.Errorf("%s: the tap could not read %d of %d packets", n.cfg.Name, s.Unreadable, s.Packets)
		}
		if n.View().Condition() != membership.Connected {
			t.Errorf("%s is %v", n.cfg.Name, n.View().Condition())
		}
	}
}

func mustID(t *testing.T, text string) string {
	t.Helper()
	key, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return KeyID(key)
}

func FuzzParseKeyringFile(f *testing.F) {
	f.Add([]byte(`["AAAAAAAAAAAAAAAAAAAAAA=="]`))
	f.Add([]byte(`[`))
	f.Add([]byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeyringFile(data)
		if err != nil {
			return
		}
		if k, err := newKeyring("", keys); err == nil && len(k.List()) == 0 {
			t.Error("a keyring without keys")
		}
	})
}

// memberlist shifts a removed key's successors in place while packets are
// decrypted with the same slice.
func TestKeyringRemoveDoesNotDisturbReaders(t *testing.T) {
	texts := make([]string, 6)
	for i := range texts {
		texts[i] = newKey(t, 256)
	}
	k, err := NewKeyring(texts[0], texts[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	started := make(chan struct{})
	wg.Go(func() {
		for first := true; !stop.Load(); first = false {
			for _, key := range k.ring.GetKeys() {
				if len(key) != 32 {
					t.Error("a torn key")
				}
			}
			if first {
				close(started)
			}
		}
	})
	<-started
	for range 200 {
		for _, text := range []string{texts[2], texts[1], texts[4]} {
			if err := k.Remove(mustID(t, text)); err != nil {
				t.Error(err)
			}
			if _, err := k.Install(text); err != nil {
				t.Error(err)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	if got := len(k.ring.GetKeys()); got != len(texts) {
		t.Errorf("the engine has %d keys, want %d", got, len(texts))
	}
}

func TestKeyringBehindALinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "secrets", "keyring"), filepath.Join(dir, "keyring")
	if err := os.Mkdir(filepath.Dir(target), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateKeyring(target, newKey(t, 128)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("secrets", "keyring"), link); err != nil {
		t.Fatal(err)
	}
	k, err := LoadKeyring(link)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Install(newKey(t, 128)); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadKeyring(target); err != nil || len(again.List()) != 2 {
		t.Errorf("the file behind the link was not changed: %v", err)
	}
}

func TestCreateKeyringOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring")
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		text := newKey(t, 128)
		wg.Go(func() {
			if _, err := CreateKeyring(path, text); err == nil {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d of 16 created the same new file", made.Load())
	}
}

func TestKeyringIsBounded(t *testing.T) {
	texts := make([]string, maxKeys+1)
	for i := range texts {
		texts[i] = newKey(t, 128)
	}
	if _, err := NewKeyring(texts[0], texts[1:]...); !errors.Is(err, ErrKeyringFull) {
		t.Errorf("%d keys: %v, want ErrKeyringFull", len(texts), err)
	}
	k, err := NewKeyring(texts[0], texts[1:maxKeys]...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Install(texts[maxKeys]); !errors.Is(err, ErrKeyringFull) {
		t.Errorf("one key more: %v, want ErrKeyringFull", err)
	}
}
