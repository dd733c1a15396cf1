package wire

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// encodings holds a value in each format of msgpack.
var encodings = map[string]string{
	"nil":              "\xc0",
	"false":            "\xc2",
	"true":             "\xc3",
	"positive fixint":  "\x7f",
	"negative fixint":  "\xe0",
	"uint 8":           "\xcc\xff",
	"uint 16":          "\xcd\xff\xff",
	"uint 32":          "\xce\xff\xff\xff\xff",
	"uint 64":          "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
	"int 8":            "\xd0\x80",
	"int 16":           "\xd1\x80\x00",
	"int 32":           "\xd2\x80\x00\x00\x00",
	"int 64":           "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
	"float 32":         "\xca\x3f\x80\x00\x00",
	"float 64":         "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
	"fixstr":           "\xa3abc",
	"str 8":            "\xd9\x03abc",
	"str 16":           "\xda\x00\x03abc",
	"str 32":           "\xdb\x00\x00\x00\x03abc",
	"bin 8":            "\xc4\x03abc",
	"bin 16":           "\xc5\x00\x03abc",
	"bin 32":           "\xc6\x00\x00\x00\x03abc",
	"fixext 1":         "\xd4\x05a",
	"fixext 2":         "\xd5\x05ab",
	"fixext 4":         "\xd6\x05abcd",
	"fixext 8":         "\xd7\x05abcdefgh",
	"fixext 16":        "\xd8\x05abcdefghijklmnop",
	"ext 8":            "\xc7\x03\x05abc",
	"ext 16":           "\xc8\x00\x03\x05abc",
	"ext 32":           "\xc9\x00\x00\x00\x03\x05abc",
	"fixarray":         "\x92\x01\x91\xa1a",
	"array 16":         "\xdc\x00\x02\x01\xc0",
	"array 32":         "\xdd\x00\x00\x00\x02\x01\xc0",
	"fixmap":           "\x82\xa1a\x01\xa1b\x81\x01\x02",
	"map 16":           "\xde\x00\x01\xa1a\xa1b",
	"map 32":           "\xdf\x00\x00\x00\x01\xa1a\xa1b",
	"nested very deep": strings.Repeat("\x91", 500) + "\xc0",
}

// Every format is skipped as far as it reaches, as go-msgpack does, and no further; cut off anywhere, it is an error.
func TestSkip(t *testing.T) {
	for name, encoded := range encodings {
		t.Run(name, func(t *testing.T) {
			dec := codec.NewDecoderBytes([]byte(encoded+"rest"), &codec.MsgpackHandle{})
			if err := dec.Decode(new(any)); err != nil || dec.NumBytesRead() != len(encoded) {
				t.Fatalf("go-msgpack reads %d of %d bytes: %v", dec.NumBytesRead(), len(encoded), err)
			}
			c := cursor{b: []byte(encoded + "rest")}
			if c.skip(); c.err != nil || string(c.b) != "rest" {
				t.Fatalf("left %q, %v", c.b, c.err)
			}
			for n := range len(encoded) {
				c := cursor{b: []byte(encoded[:n])}
				if c.skip(); !errors.Is(c.err, errTruncated) {
					t.Fatalf("the first %d bytes: %v", n, c.err)
				}
			}
		})
	}
}

// Numbers, strings and maps are read in every format that go-msgpack accepts for them, to the same value.
func TestScalars(t *testing.T) {
	for name, encoded := range encodings {
		t.Run(name, func(t *testing.T) {
			var number uint32
			err := codec.NewDecoderBytes([]byte(encoded), &codec.MsgpackHandle{}).Decode(&number)
			c := cursor{b: []byte(encoded)}
			if got := c.uint(math.MaxUint32); got != uint64(number) || (c.err == nil) != (err == nil) {
				t.Errorf("as number %d, %v; go-msgpack %d, %v", got, c.err, number, err)
			}
			if strings.Contains(name, "array") || strings.Contains(name, "nested") {
				return // an array of numbers would do for go-msgpack
			}
			var text string
			err = codec.NewDecoderBytes([]byte(encoded), &codec.MsgpackHandle{}).Decode(&text)
			c = cursor{b: []byte(encoded)}
			if got := c.bytes(); string(got) != text || (c.err == nil) != (err == nil) {
				t.Errorf("as string %q, %v; go-msgpack %q, %v", got, c.err, text, err)
			}
		})
	}
}

func TestMapLen(t *testing.T) {
	for name, encoded := range encodings {
		isMap := strings.Contains(name, "map")
		c := cursor{b: []byte(encoded)}
		if n := c.mapLen(); (n > 0) != isMap || (c.err == nil) != isMap {
			t.Errorf("%s: length %d, %v", name, n, c.err)
		}
	}
}

// A length that the input only claims is refused at once.
func TestClaimedLengths(t *testing.T) {
	for _, encoded := range []string{
		"\xdf\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x05",
		"\xde\xff\xff" + strings.Repeat("\x81", 40000),
	} {
		c := cursor{b: []byte(encoded)}
		if c.skip(); !errors.Is(c.err, errTruncated) {
			t.Errorf("%.10q: %v", encoded, c.err)
		}
	}
}
