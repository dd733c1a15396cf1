// Package wire knows the bytes on the wire: it peeks into the engine's packets and encodes the messages that
// heartbeat adds to them.
//
// # The engine's packets
//
// memberlist raises no event for a suspicion and shows no incarnation, so the tap reads both off the packets that
// pass, in both directions. A packet has these layers, from outside in; each but the message itself may be missing:
//
//	label       244, length (1..255), label
//	encryption  version (0 or 1), nonce (12), ciphertext, tag (16): AES-GCM, the label is authenticated too;
//	            in version 0, which no peer of today sends, the plaintext is padded; such a packet is refused
//	checksum    12, CRC-32 (IEEE, big endian) of the rest
//	compressed  9, msgpack {Algo: 0 (LZW), Buf: LZW with least significant bits first, 8 bits wide}
//	compound    7, count (1 byte), count lengths (2 bytes each, big endian), the messages
//	message     type (1 byte), msgpack map of the message's fields, or the bytes of a user message
//
// Compressed and compound layers may hold each other. Peeker reads all of them, and changes nothing: what it cannot
// read, the engine still gets as it came.
//
// # Our messages
//
// They travel as the engine's user messages and as the user state of a push/pull:
//
//	0xb7, version (1), type (1 byte), body
//
// The body is msgpack of the new specification, encoded by go-msgpack: one map of fields; a StateSync has one map for
// each record behind it, a Testimony is an array of its fields. Addresses and metadata are strings there too. Fields
// that a reader does not know are skipped.
// Another magic byte, version or type is ErrUnknown, which callers ignore: nodes of other versions and users of plain
// memberlist then do no harm. A body that changes its meaning needs a new version or a new type.
//
// A node's metadata carries its tags: 0xb7, version (1), and one msgpack map of strings, sorted by key, so that equal
// tags are equal bytes.
package wire
