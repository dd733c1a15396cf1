package gossip

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Keyring holds the AES keys of a node. The primary key encrypts; all of them
// decrypt, so that a cluster can move from one key to the next without a
// break: install the new one everywhere, use it everywhere, remove the old one.
// All methods are safe for concurrent use.
type Keyring struct {
	mu   sync.Mutex
	path string   // file that keeps the keys, "" when they are in memory only
	keys [][]byte // guarded by mu; primary first; never changed in place
	ring *memberlist.Keyring
}

// GenerateKey returns a random key in base64. bits is 128, 192 or 256.
func GenerateKey(bits int) (string, error) {
	if bits != 128 && bits != 192 && bits != 256 {
		return "", fmt.Errorf("a key of %d bits is not possible: choose 128, 192 or 256", bits)
	}
	key := make([]byte, bits/8)
	rand.Read(key) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(key), nil
}

// ParseKey decodes a base64 key of 16, 24 or 32 bytes. Its errors never show
// the key.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("the key is not valid base64")
	}
	if err := memberlist.ValidateKey(key); err != nil {
		return nil, fmt.Errorf("the key has %d bytes: AES takes 16, 24 or 32", len(key))
	}
	return key, nil
}

// KeyID is a key's fingerprint, by which it can be named without showing it.
func KeyID(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// NewKeyring holds the given base64 keys in memory, the primary one first.
func NewKeyring(primary string, others ...string) (*Keyring, error) {
	return newKeyring("", append([]string{primary}, others...))
}

// LoadKeyring reads a keyring file: a JSON list of base64 keys, the primary one
// first. The file must be readable by its owner alone (mode 0600 or less).
// Later changes are written back to it.
func LoadKeyring(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the keyring: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("keyring %s can be read by others (mode %04o): run chmod 600 on it", path, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the keyring: %w", err)
	}
	keys, err := parseKeyringFile(data)
	if err != nil {
		return nil, fmt.Errorf("keyring %s is damaged: %w; nothing was changed: restore it from a backup or from another node", path, err)
	}
	k, err := newKeyring(path, keys)
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	return k, nil
}

// CreateKeyring writes a new keyring file with one key, which must not exist
// yet (else the error is fs.ErrExist), and returns it.
func CreateKeyring(path, primary string) (*Keyring, error) {
	k, err := newKeyring(path, []string{primary})
	if err != nil {
		return nil, err
	}
	// The empty file is the claim to the name: of several that create it at the
	// same moment one succeeds.
	claim, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot create the keyring: %w", err)
	}
	_ = claim.Close() // nothing was written
	if err := k.save(k.keys); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return k, nil
}

func newKeyring(path string, texts []string) (*Keyring, error) {
	keys := make([][]byte, 0, len(texts))
	for i, text := range texts {
		key, err := ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(texts), err)
		}
		if indexKey(keys, key) < 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%w: %d keys are given, %d are possible", ErrKeyringFull, len(keys), maxKeys)
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("cannot build the keyring: %w", err)
	}
	return &Keyring{path: path, keys: keys, ring: ring}, nil
}

// maxKeys bounds a keyring: each received packet may be tried with every key.
const maxKeys = 16

func parseKeyringFile(data []byte) ([]string, error) {
	var keys []string
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, errors.New("it is not a JSON list of base64 keys")
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("it holds %d keys: 1 to %d are possible", len(keys), maxKeys)
	}
	return keys, nil
}

func indexKey(keys [][]byte, key []byte) int {
	return slices.IndexFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

// List tells about the installed keys, the primary one first.
func (k *Keyring) List() []KeyInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	infos := make([]KeyInfo, len(k.keys))
	for i, key := range k.keys {
		infos[i] = KeyInfo{ID: KeyID(key), Bits: len(key) * 8, Primary: i == 0}
	}
	return infos
}

// Install adds a base64 key, which then decrypts but does not encrypt yet, and
// returns its ID. Installing a key twice changes nothing. It fails with
// ErrKeyringFull when there are 16 keys already.
func (k *Keyring) Install(text string) (string, error) {
	key, err := ParseKey(text)
	if err != nil {
		return "", err
	}
	return KeyID(key), k.change(func(keys [][]byte) ([][]byte, error) {
		if indexKey(keys, key) >= 0 {
			return keys, nil
		}
		if len(keys) >= maxKeys {
			return nil, fmt.Errorf("%w (%d keys): remove one first", ErrKeyringFull, len(keys))
		}
		return append(keys, key), nil
	}, func([][]byte) error { return k.ring.AddKey(key) })
}

// Use makes the installed key with that ID the primary one. It fails with
// ErrNoSuchKey when it is not installed.
func (k *Keyring) Use(id string) error {
	var key []byte
	return k.change(func(keys [][]byte) ([][]byte, error) {
		i := indexID(keys, id)
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoSuchKey, id)
		}
		key = keys[i]
		return append([][]byte{key}, slices.Delete(keys, i, i+1)...), nil
	}, func([][]byte) error { return k.ring.UseKey(key) })
}

// Remove takes out the key with that ID. It fails with ErrNoSuchKey when it is
// not installed and with ErrPrimaryKey when it is the primary one.
func (k *Keyring) Remove(id string) error {
	var at int
	return k.change(func(keys [][]byte) ([][]byte, error) {
		i := indexID(keys, id)
		switch {
		case i < 0:
			return nil, fmt.Errorf("%w: %s", ErrNoSuchKey, id)
		case i == 0:
			return nil, fmt.Errorf("%w: %s", ErrPrimaryKey, id)
		}
		at = i
		return slices.Delete(keys, i, i+1), nil
	}, func(next [][]byte) error { return k.removeAt(at, next) })
}

// removeAt takes a key out of the engine's ring, whose order is that of k.keys.
// The engine moves the keys behind a removed one within the slice that it is
// decrypting with at the same moment, so only the last one is ever removed;
// those behind the key come back at once.
func (k *Keyring) removeAt(at int, next [][]byte) error {
	for _, key := range slices.Backward(k.keys[at:]) {
		if err := k.ring.RemoveKey(key); err != nil {
			return err
		}
	}
	for _, key := range next[at:] {
		if err := k.ring.AddKey(key); err != nil {
			return err
		}
	}
	return nil
}

func indexID(keys [][]byte, id string) int {
	return slices.IndexFunc(keys, func(key []byte) bool { return KeyID(key) == id })
}

// change writes the edited list to the file first and only then lets the
// engine have it, so that a full disk leaves file and node as they were.
func (k *Keyring) change(edit func([][]byte) ([][]byte, error), apply func(next [][]byte) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := edit(slices.Clone(k.keys))
	if err != nil {
		return err
	}
	if err := k.save(next); err != nil {
		return err
	}
	if err := apply(next); err != nil {
		return fmt.Errorf("the engine refused the change of keys: %w", err)
	}
	k.keys = next
	return nil
}

// active returns the keys for the tap: primary first, not to be changed.
func (k *Keyring) active() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys
}

func (k *Keyring) save(keys [][]byte) error {
	if k.path == "" {
		return nil
	}
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = base64.StdEncoding.EncodeToString(key)
	}
	data, err := json.MarshalIndent(texts, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the keyring: %w", err)
	}
	if err := WriteFileAtomic(k.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot save the keyring, its keys stay as they were: %w", err)
	}
	return nil
}

// WriteFileAtomic replaces a file in one step: after a crash or on a full disk
// the old content is whole or the new one is. Readers never see a part. Behind a
// symbolic link the file is replaced and the link stays.
func WriteFileAtomic(path string, data []byte, mode fs.FileMode) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if err := tmp.Chmod(mode); err != nil {
		return err
	}
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
