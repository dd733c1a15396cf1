package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// What a msgpack value starts with, where the first byte alone decides.
const (
	mpNil    = 0xc0
	mpFalse  = 0xc2
	mpTrue   = 0xc3
	mpBin8   = 0xc4
	mpBin16  = 0xc5
	mpBin32  = 0xc6
	mpExt8   = 0xc7
	mpExt16  = 0xc8
	mpExt32  = 0xc9
	mpFloat  = 0xca
	mpDouble = 0xcb
	mpUint8  = 0xcc
	mpUint16 = 0xcd
	mpUint32 = 0xce
	mpUint64 = 0xcf
	mpInt8   = 0xd0
	mpInt16  = 0xd1
	mpInt32  = 0xd2
	mpInt64  = 0xd3
	mpFixExt = 0xd4 // to 0xd8: 1, 2, 4, 8, 16 bytes
	mpStr8   = 0xd9
	mpStr16  = 0xda
	mpStr32  = 0xdb
	mpArr16  = 0xdc
	mpArr32  = 0xdd
	mpMap16  = 0xde
	mpMap32  = 0xdf
)

var (
	errTruncated = errors.New("it ends too early")
	errNotMap    = errors.New("it is not a map")
	errNotBytes  = errors.New("a field that must be a string or bytes is not")
	errNotNumber = errors.New("a field that must be a number is not, or is out of range")
	errInvalid   = errors.New("it is not msgpack")
	errTooLong   = errors.New("a name or metadata is longer than the limit")
)

// cursor reads msgpack from the front of b. The first error stays and empties b, so that every later read gives zero:
// callers need to look at err only once, and loops over lengths that the input claims end with the input.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// take returns the next n bytes, aliasing the input, or nil.
func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.fail(errTruncated)
		return nil
	}
	taken := c.b[:n:n]
	c.b = c.b[n:]
	return taken
}

// first returns the next byte; an error gives nil's, which is a value of every kind.
func (c *cursor) first() byte {
	if len(c.b) == 0 {
		c.fail(errTruncated)
		return mpNil
	}
	first := c.b[0]
	c.b = c.b[1:]
	return first
}

// length reads a big endian length of 1, 2 or 4 bytes. It fits int even of 32 bits: more than the input holds is an
// error here already, for everything that has a length takes at least a byte for each unit of it.
func (c *cursor) length(width int) int {
	n := c.number(width)
	if n > uint64(len(c.b)) {
		c.fail(errTruncated)
		return 0
	}
	return int(n)
}

// number reads a big endian unsigned number of 1, 2, 4 or 8 bytes.
func (c *cursor) number(width int) uint64 {
	b := c.take(width)
	if b == nil {
		return 0
	}
	switch width {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	default:
		return binary.BigEndian.Uint64(b)
	}
}

// mapLen reads the header of a map and returns how many pairs follow.
func (c *cursor) mapLen() int {
	switch first := c.first(); {
	case first&0xf0 == 0x80:
		return int(first & 0x0f)
	case first == mpMap16:
		return c.length(2)
	case first == mpMap32:
		return c.length(4)
	default:
		c.fail(errNotMap)
		return 0
	}
}

// bytes reads a string, bytes (both specifications) or nil. What it returns aliases the input.
func (c *cursor) bytes() []byte {
	switch first := c.first(); {
	case first&0xe0 == 0xa0:
		return c.take(int(first & 0x1f))
	case first == mpStr8, first == mpBin8:
		return c.take(c.length(1))
	case first == mpStr16, first == mpBin16:
		return c.take(c.length(2))
	case first == mpStr32, first == mpBin32:
		return c.take(c.length(4))
	case first == mpNil:
		return nil
	default:
		c.fail(errNotBytes)
		return nil
	}
}

// bounded is bytes of at most limit bytes.
func (c *cursor) bounded(limit int) []byte {
	b := c.bytes()
	if len(b) > limit {
		c.fail(errTooLong)
		return nil
	}
	return b
}

// uint reads a number from 0 to limit, of any width and sign, or nil as 0.
func (c *cursor) uint(limit uint64) uint64 {
	first := c.first()
	var n uint64
	switch {
	case first <= math.MaxInt8:
		n = uint64(first)
	case first == mpUint32:
		n = c.number(4)
	case first >= mpUint8 && first <= mpUint64:
		n = c.number(1 << (first - mpUint8))
	case first >= mpInt8 && first <= mpInt64:
		width := 1 << (first - mpInt8)
		n = c.number(width)
		if n>>(8*width-1) != 0 { // negative
			c.fail(errNotNumber)
		}
	case first == mpNil:
	default:
		c.fail(errNotNumber)
	}
	if n > limit {
		c.fail(errNotNumber)
	}
	if c.err != nil {
		return 0
	}
	return n
}

// skip passes over one value with all that it holds. It counts instead of recursing, so that depth costs nothing. A container may claim
// more than there is: the engine reads on to the end as well, and trips over what is on the way.
func (c *cursor) skip() {
	for pending := int64(1); pending > 0 && c.err == nil; pending-- {
		switch first := c.first(); {
		case first <= 0x7f, first >= 0xe0, first == mpNil, first == mpFalse, first == mpTrue:
		case first&0xf0 == 0x80:
			pending += 2 * int64(first&0x0f)
		case first&0xf0 == 0x90:
			pending += int64(first & 0x0f)
		case first&0xe0 == 0xa0:
			c.take(int(first & 0x1f))
		case first == mpStr8, first == mpBin8:
			c.take(c.length(1))
		case first == mpStr16, first == mpBin16:
			c.take(c.length(2))
		case first == mpStr32, first == mpBin32:
			c.take(c.length(4))
		case first >= mpExt8 && first <= mpExt32:
			n := c.number(1 << (first - mpExt8))
			if c.err == nil && n >= uint64(len(c.b)) {
				c.fail(errOverlong)
				return
			}
			c.take(int(n) + 1) // and the extension's type
		case first == mpFloat:
			c.take(4)
		case first == mpDouble:
			c.take(8)
		case first >= mpUint8 && first <= mpUint64:
			c.take(1 << (first - mpUint8))
		case first >= mpInt8 && first <= mpInt64:
			c.take(1 << (first - mpInt8))
		case first >= mpFixExt && first <= mpFixExt+4:
			c.take(1<<(first-mpFixExt) + 1)
		case first == mpArr16:
			pending += int64(c.number(2))
		case first == mpArr32:
			pending += int64(c.number(4))
		case first == mpMap16:
			pending += 2 * int64(c.number(2))
		case first == mpMap32:
			pending += 2 * int64(c.number(4))
		default:
			c.fail(errInvalid)
		}
	}
}
