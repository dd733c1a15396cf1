package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// The limits of a node's tags, beside MaxMeta for all of them together.
const (
	MaxTags     = 64
	MaxTagKey   = 64  // bytes
	MaxTagValue = 256 // bytes
)

// lifeBytes is what the life of a process takes behind the tags: a msgpack uint 32.
const lifeBytes = 5

// EncodeMeta returns the metadata that carries tags and a number that another process of the same name does not
// have, unless it is 0 or the tags leave no room for it. It fails as [EncodeTags] does.
func EncodeMeta(tags map[string]string, life uint32) ([]byte, error) {
	meta, err := EncodeTags(tags)
	if err == nil && life != 0 && len(meta)+lifeBytes <= MaxMeta {
		meta = append(meta, mpUint32, byte(life>>24), byte(life>>16), byte(life>>8), byte(life))
	}
	return meta, err
}

// DecodeMeta is the inverse of [EncodeMeta]; the life is 0 when there is none. It fails as [DecodeTags] does.
func DecodeMeta(meta []byte) (tags map[string]string, life uint32, err error) {
	if len(meta) <= MaxMeta { // else DecodeTags says so
		if body := len(meta) - lifeBytes; body > 2 && meta[body] == mpUint32 {
			if tags, err := DecodeTags(meta[:body]); err == nil {
				return tags, binary.BigEndian.Uint32(meta[body+1:]), nil
			}
		}
	}
	tags, err = DecodeTags(meta)
	return tags, 0, err
}

// EncodeTags returns the metadata that carries tags. Equal tags give equal bytes. It fails with ErrInvalid for
//   - a key that is not of 1 to MaxTagKey of the characters a-z A-Z 0-9 _ . - /
//   - a value of more than MaxTagValue bytes, or that is not UTF-8, or with control characters
//   - more than MaxTags tags
//
// and with ErrTooLarge for tags that do not fit into metadata.
func EncodeTags(tags map[string]string) ([]byte, error) {
	if err := validateTags(tags); err != nil {
		return nil, fmt.Errorf("encode tags: %w", err)
	}
	if tags == nil {
		tags = map[string]string{}
	}
	var buf bytes.Buffer
	buf.Write([]byte{magic, version})
	if err := codec.NewEncoder(&buf, msgpack).Encode(tags); err != nil {
		return nil, fmt.Errorf("encode tags: %w", err)
	}
	if buf.Len() > MaxMeta {
		return nil, fmt.Errorf("encode tags: %w: %d tags take %d bytes, and there are %d", ErrTooLarge, len(tags), buf.Len(), MaxMeta)
	}
	return buf.Bytes(), nil
}

// DecodeTags returns the tags that a node's metadata carries; they are never nil without an error. It fails with
// ErrUnknown for metadata that is not ours, as that of plain memberlist, otherwise as EncodeTags does.
func DecodeTags(meta []byte) (map[string]string, error) {
	if len(meta) < 2 || meta[0] != magic || meta[1] != version {
		return nil, ErrUnknown
	}
	if len(meta) > MaxMeta {
		return nil, fmt.Errorf("decode tags: %w: they take %d bytes, and there are %d", ErrTooLarge, len(meta), MaxMeta)
	}
	tags := map[string]string{}
	body := meta[2:]
	dec := codec.NewDecoderBytes(body, msgpack)
	if err := dec.Decode(&tags); err != nil {
		return nil, fmt.Errorf("decode tags of %d bytes: %w: %w", len(meta), ErrInvalid, err)
	}
	if rest := len(body) - dec.NumBytesRead(); rest != 0 {
		return nil, fmt.Errorf("decode tags of %d bytes: %w: %d bytes are left over", len(meta), ErrInvalid, rest)
	}
	if tags == nil { // msgpack has a nil too
		tags = map[string]string{}
	}
	if err := validateTags(tags); err != nil {
		return nil, fmt.Errorf("decode tags of %d bytes: %w", len(meta), err)
	}
	return tags, nil
}

func validateTags(tags map[string]string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%w: there are %d tags, at most %d are allowed", ErrInvalid, len(tags), MaxTags)
	}
	for key, value := range tags {
		switch {
		case len(key) == 0 || len(key) > MaxTagKey || strings.ContainsFunc(key, notInKey):
			return fmt.Errorf("%w: key %q must be 1 to %d of a-z A-Z 0-9 _ . - /", ErrInvalid, key, MaxTagKey)
		case len(value) > MaxTagValue:
			return fmt.Errorf("%w: the value of %q has %d bytes, at most %d are allowed", ErrInvalid, key, len(value), MaxTagValue)
		case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			return fmt.Errorf("%w: the value %q of %q is not UTF-8 or has control characters", ErrInvalid, value, key)
		}
	}
	return nil
}

func notInKey(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	default:
		return !strings.ContainsRune("_.-/", r)
	}
}
