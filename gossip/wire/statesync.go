package wire

import (
	"fmt"
	"net/netip"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// The states of a Record. Members that are alive or suspect are exchanged by the engine itself.
const (
	StateFailed uint8 = 3
	StateLeft   uint8 = 4
)

// MaxAgeMillis bounds Record.AgeMillis: 100 years, which a time.Duration can hold.
const MaxAgeMillis = 100 * 365 * 24 * 3600 * 1000

// StateSync is the user state of a push/pull: members that the engine forgets, but nobody here may.
type StateSync struct {
	Records []Record // at most MaxRecords
}

// Record is a member that failed or left.
type Record struct {
	Name        string         // 1 to MaxName bytes
	Addr        netip.AddrPort // valid unless Pruned, without zone, and no IPv4 mapped into IPv6
	Incarnation uint32
	State       uint8  // StateFailed or StateLeft
	Meta        []byte // at most MaxMeta bytes; none is decoded as nil
	// AgeMillis is for how long it has been in its state, in milliseconds, 0 to MaxAgeMillis. A duration survives
	// clocks that disagree, a point in time does not.
	AgeMillis int64
	ForcedOut bool // by an operator
	Pruned    bool // by an operator, and to be shown no more
}

// Validate returns ErrInvalid, and why, if r cannot be part of a StateSync.
func (r *Record) Validate() error {
	switch {
	case len(r.Name) == 0 || len(r.Name) > MaxName:
		return fmt.Errorf("%w: the name has %d bytes, must be 1 to %d", ErrInvalid, len(r.Name), MaxName)
	case !r.Addr.IsValid() && !r.Pruned, r.Addr.Addr() != r.Addr.Addr().Unmap().WithZone(""):
		return fmt.Errorf("%w: record of %q: address %v is none, has a zone, or is IPv4 mapped into IPv6", ErrInvalid, r.Name, r.Addr)
	case r.State != StateFailed && r.State != StateLeft:
		return fmt.Errorf("%w: record of %q: state %d is neither failed nor left", ErrInvalid, r.Name, r.State)
	case len(r.Meta) > MaxMeta:
		return fmt.Errorf("%w: record of %q: its metadata has %d bytes, at most %d fit", ErrInvalid, r.Name, len(r.Meta), MaxMeta)
	case r.AgeMillis < 0 || r.AgeMillis > MaxAgeMillis:
		return fmt.Errorf("%w: record of %q: age of %d ms is not from 0 to %d", ErrInvalid, r.Name, r.AgeMillis, int64(MaxAgeMillis))
	}
	return nil
}

// recordOverhead is more than a record takes beyond its name and metadata.
const recordOverhead = 80

// Fit returns those of records, in their order, that one StateSync can carry: it leaves out what Validate refuses,
// and all that comes after the limits are reached.
func Fit(records []Record) []Record {
	var fit []Record
	size := headerSize + recordOverhead
	for _, r := range records {
		if r.Validate() != nil {
			continue
		}
		size += recordOverhead + len(r.Name) + len(r.Meta)
		if size > MaxStateSync || len(fit) == MaxRecords {
			break
		}
		fit = append(fit, r)
	}
	return fit
}

// syncHeader comes before the records. The count stands apart from them, and not as an array's length, so that no
// record takes memory before its bytes have been read.
type syncHeader struct {
	Count uint `codec:"n"`
}

// wireRecord is a Record as it travels. Bytes are strings here, because go-msgpack decodes a string of any length in
// one piece, but bytes in steps of MaxInitLen, each of which copies all that came before.
type wireRecord struct {
	Name        string `codec:"n"`
	IP          string `codec:"a"` // 4 or 16 bytes, or none
	Port        uint16 `codec:"o"`
	Incarnation uint32 `codec:"i"`
	State       uint8  `codec:"s"`
	Meta        string `codec:"m,omitempty"`
	AgeMillis   int64  `codec:"t"`
	ForcedOut   bool   `codec:"f,omitempty"`
	Pruned      bool   `codec:"p,omitempty"`
}

func (*StateSync) kind() byte { return typeStateSync }
func (*StateSync) limit() int { return MaxStateSync }

func (s *StateSync) encode(enc *codec.Encoder) error {
	if err := enc.Encode(syncHeader{Count: uint(len(s.Records))}); err != nil {
		return err
	}
	for _, r := range s.Records {
		err := enc.Encode(wireRecord{
			Name: r.Name, IP: string(r.Addr.Addr().AsSlice()), Port: r.Addr.Port(), Incarnation: r.Incarnation, State: r.State,
			Meta: string(r.Meta), AgeMillis: r.AgeMillis, ForcedOut: r.ForcedOut, Pruned: r.Pruned,
		})
		if err != nil {
			return fmt.Errorf("record of %q: %w", r.Name, err)
		}
	}
	return nil
}

func (s *StateSync) decode(dec *codec.Decoder) error {
	var header syncHeader
	if err := dec.Decode(&header); err != nil {
		return err
	}
	if header.Count > MaxRecords {
		return fmt.Errorf("%d records, at most %d are allowed", header.Count, MaxRecords)
	}
	for range header.Count {
		var w wireRecord
		if err := dec.Decode(&w); err != nil {
			return err
		}
		ip, ok := netip.AddrFromSlice([]byte(w.IP))
		if !ok && w.IP != "" {
			return fmt.Errorf("record of %q: address of %d bytes", w.Name, len(w.IP))
		}
		r := Record{
			Name: w.Name, Addr: netip.AddrPortFrom(ip, w.Port), Incarnation: w.Incarnation, State: w.State,
			AgeMillis: w.AgeMillis, ForcedOut: w.ForcedOut, Pruned: w.Pruned,
		}
		if w.Meta != "" {
			r.Meta = []byte(w.Meta)
		}
		s.Records = append(s.Records, r)
	}
	return nil
}

func (s *StateSync) validate() error {
	if len(s.Records) > MaxRecords {
		return fmt.Errorf("%w: %d records, at most %d are allowed", ErrInvalid, len(s.Records), MaxRecords)
	}
	for i := range s.Records {
		if err := s.Records[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}
