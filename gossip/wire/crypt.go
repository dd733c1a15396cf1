package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync/atomic"
)

const (
	nonceSize = 12
	tagSize   = 16
	// With version 0 the plaintext is padded, with version 1, which every peer of today sends, it is not.
	paddedVersion, plainVersion = 0, 1
)

var (
	errCipherVersion = errors.New("it is not encrypted, or by a version that is unknown here")
	errNoKey         = errors.New("no installed key opens it")

	// errPadded: the packet was made with one of our keys, but says that its plaintext is padded. No peer of today pads,
	// and nothing authenticates the version: anyone who has recorded a packet can change it. The engine then takes
	// the last byte for the length of the padding, and panics when that is longer than the packet.
	errPadded = fmt.Errorf("%w: it is encrypted by a version that is no longer used", ErrUnsafe)
)

// newAEAD returns AES-GCM whose sealed form is nonce, ciphertext, tag, as the engine sends it.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// opener opens encrypted packets. It keeps the cipher of each installed key, because to derive one costs more than to
// open a packet with it. Safe for concurrent use.
type opener struct {
	ready atomic.Pointer[[]keyCipher]
}

type keyCipher struct {
	key  []byte
	aead cipher.AEAD // nil for a key of a length that AES has not
}

// ciphers returns the ciphers of keys, in their order. Two goroutines that see a rotation at the same time may both
// derive and store: both are right, and whoever stored old keys is corrected by the next packet.
func (o *opener) ciphers(keys [][]byte) []keyCipher {
	var known []keyCipher
	if p := o.ready.Load(); p != nil {
		known = *p
	}
	if sameKeys(known, keys) {
		return known
	}
	fresh := make([]keyCipher, len(keys))
	for i, key := range keys {
		fresh[i].key = bytes.Clone(key)
		fresh[i].aead, _ = newAEAD(key)
	}
	o.ready.Store(&fresh)
	return fresh
}

func sameKeys(known []keyCipher, keys [][]byte) bool {
	if len(known) != len(keys) {
		return false
	}
	for i := range known {
		if !bytes.Equal(known[i].key, keys[i]) {
			return false
		}
	}
	return true
}

// open decrypts sealed into dst[:0], which should have room for all of sealed, with whichever of keys fits.
func (o *opener) open(dst, sealed, label []byte, keys [][]byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] > plainVersion {
		return nil, errCipherVersion
	}
	if len(sealed) < 1+nonceSize+tagSize {
		return nil, errTruncated
	}
	for _, c := range o.ciphers(keys) {
		if c.aead == nil {
			continue
		}
		plain, err := c.aead.Open(dst[:0], nil, sealed[1:], label)
		if err != nil {
			continue
		}
		if sealed[0] == paddedVersion {
			return nil, errPadded
		}
		return plain, nil
	}
	return nil, errNoKey
}

// Wrap makes a packet of one of the engine's messages, as the engine would send it to a peer with the same label and
// primary key: encrypted unless key is empty, labelled unless label is empty, without checksum. It fails for a label
// of more than 255 bytes and for a key that is not of 16, 24 or 32 bytes.
func Wrap(message []byte, label string, key []byte) ([]byte, error) {
	if len(label) > maxLabel {
		return nil, fmt.Errorf("wrap a message: the label has %d bytes, at most %d fit", len(label), maxLabel)
	}
	packet := make([]byte, 0, 2+len(label)+1+nonceSize+len(message)+tagSize)
	if label != "" {
		packet = append(packet, typeLabel, byte(len(label)))
		packet = append(packet, label...)
	}
	if len(key) == 0 {
		return append(packet, message...), nil
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("wrap a message: %w", err)
	}
	return aead.Seal(append(packet, plainVersion), nil, message, []byte(label)), nil
}
