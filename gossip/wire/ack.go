package wire

import "encoding/binary"

// EncodeAck returns the engine's ack of the probe seqNo, without payload. A node that closes completes the probes it
// has still under way by handing itself their acks, put into a packet by Wrap; Peek gives their numbers.
func EncodeAck(seqNo uint32) []byte {
	ack := []byte{byte(Ack), 0x82, 0xa5, 'S', 'e', 'q', 'N', 'o', mpUint32}
	ack = binary.BigEndian.AppendUint32(ack, seqNo)
	return append(ack, 0xa7, 'P', 'a', 'y', 'l', 'o', 'a', 'd', mpNil)
}
