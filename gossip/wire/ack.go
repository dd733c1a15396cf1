package wire

import "encoding/binary"

// EncodeAck returns the engine's ack of the probe seqNo, without payload. A node that closes completes the probes it
// has still under way by handing itself their acks, put into a packet by Wrap; Peek gives their numbers.
func EncodeAck(seqNo uint32) []byte {
	ack := []byte{byte(Ack), 0x82, 0xa5, 'S', 'e', 'q', 'N', 'o', mpUint32}
	ack = binary.BigEndian.AppendUint32(ack, seqNo)
	return append(ack, 0xa7, 'P', 'a', 'y', 'l', 'o', 'a', 'd', mpNil)
}

// maxCompound is how many messages a compound message holds: one byte counts them.
const maxCompound = 255

// EncodeUsers returns the engine's compound message of messages as user messages, of at most the first 255. A single one is not
// wrapped. None may have more than 65534 bytes.
func EncodeUsers(messages [][]byte) []byte {
	messages = messages[:min(len(messages), maxCompound)]
	if len(messages) == 1 {
		return append([]byte{byte(User)}, messages[0]...)
	}
	out := []byte{typeCompound, byte(len(messages))}
	for _, m := range messages {
		out = binary.BigEndian.AppendUint16(out, uint16(1+len(m)))
	}
	for _, m := range messages {
		out = append(append(out, byte(User)), m...)
	}
	return out
}
