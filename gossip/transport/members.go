package transport

// maxField is the most bytes or elements that a field of a member may have; its meta has at most 512.
const maxField = 4 << 10

// memberScan follows the msgpack of a push/pull's members while the engine reads them, so that no member can claim a field
// of gigabytes: the engine's decoder would follow such a claim for as long as bytes come, copying all it has again and
// again. The zero memberScan lets everything pass.
type memberScan struct {
	skip    uint64 // bytes that say nothing: the header, then the rest of a value
	values  uint64 // msgpack values still to come, those in containers included
	tag     byte   // of the value whose length is being read
	length  uint64 // the part of that length seen so far
	pending int    // bytes of that length still to come
}

// feed takes the next bytes of the stream. It returns how many of them come before the end of the last member: all of them,
// unless the members end here.
func (m *memberScan) feed(p []byte) (int, error) {
	for i := 0; i < len(p); {
		switch {
		case m.skip > 0:
			n := min(m.skip, uint64(len(p)-i))
			m.skip -= n
			i += int(n)
			continue
		case m.pending > 0:
			m.length = m.length<<8 | uint64(p[i])
			if m.pending--; m.pending == 0 {
				if err := m.claim(m.tag, m.length); err != nil {
					return i, err
				}
			}
		case m.values == 0:
			return i, nil
		default:
			m.values--
			if err := m.value(p[i]); err != nil {
				return i, err
			}
		}
		i++
	}
	return len(p), nil
}

// done reports whether the last member is complete.
func (m *memberScan) done() bool { return m.skip == 0 && m.pending == 0 && m.values == 0 }

// value takes the first byte of a value, see the msgpack specification.
func (m *memberScan) value(tag byte) error {
	switch {
	case tag <= 0x7f, tag >= 0xe0, tag == 0xc0, tag == 0xc2, tag == 0xc3: // small numbers, nil, false, true
		return nil
	case tag <= 0x8f:
		return m.claim(0xdf, uint64(tag&0x0f))
	case tag <= 0x9f:
		return m.claim(0xdd, uint64(tag&0x0f))
	case tag <= 0xbf:
		return m.claim(0xdb, uint64(tag&0x1f))
	}
	m.tag, m.length = tag, 0
	switch tag {
	case 0xcc, 0xd0:
		m.skip = 1
	case 0xcd, 0xd1:
		m.skip = 2
	case 0xca, 0xce, 0xd2:
		m.skip = 4
	case 0xcb, 0xcf, 0xd3:
		m.skip = 8
	case 0xc4, 0xd9:
		m.pending = 1
	case 0xc5, 0xda, 0xdc, 0xde:
		m.pending = 2
	case 0xc6, 0xdb, 0xdd, 0xdf:
		m.pending = 4
	default:
		return refuse("a member holds a value of type %#x, which no peer writes", tag)
	}
	return nil
}

// claim takes the length of a string or container.
func (m *memberScan) claim(tag byte, n uint64) error {
	if n > maxField {
		return refuse("a member has a field of %d bytes or elements, more than %d", n, maxField)
	}
	switch tag {
	case 0xdc, 0xdd:
		m.values += n
	case 0xde, 0xdf:
		m.values += 2 * n
	default:
		m.skip = n
	}
	return nil
}
