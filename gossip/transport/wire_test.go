package transport

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// What follows writes messages as memberlist does, from its wire format; the tests with real engines check that it is so.

type pushPullHeader struct {
	Nodes, UserStateLen int
	Join                bool
}

type userHeader struct{ UserMsgLen int }

type memberState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       int
	Vsn         []uint8
}

type pingBody struct {
	SeqNo uint32
	Node  string
}

func message(t testing.TB, kind byte, bodies ...any) []byte {
	t.Helper()
	buf := bytes.NewBuffer([]byte{kind})
	enc := codec.NewEncoder(buf, &codec.MsgpackHandle{})
	for _, b := range bodies {
		if err := enc.Encode(b); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func pack(t testing.TB, msg []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := lzw.NewWriter(&buf, lzw.LSB, lzwLitWidth)
	if _, err := w.Write(msg); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return message(t, msgCompress, struct {
		Algo uint8
		Buf  []byte
	}{0, buf.Bytes()})
}

func withLabel(label string, msg []byte) []byte {
	return append(append([]byte{msgLabel, byte(len(label))}, label...), msg...)
}

func withCRC(msg []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{msgCRC}, crc32.ChecksumIEEE(msg))
	return append(head, msg...)
}

func encryptedHead(length uint32) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{msgEncrypt}, length), 1) // the version of the encryption
}

func compound(parts ...[]byte) []byte {
	msg := []byte{msgCompound, byte(len(parts))}
	for _, p := range parts {
		msg = binary.BigEndian.AppendUint16(msg, uint16(len(p)))
	}
	return append(msg, bytes.Join(parts, nil)...)
}

// aMember is a member as a cluster of n nodes would list it.
func aMember(name string) memberState {
	return memberState{Name: name, Addr: []byte{127, 0, 0, 1}, Port: 7946, Incarnation: 1, Vsn: []uint8{1, 5, 2, 0, 0, 0}}
}
