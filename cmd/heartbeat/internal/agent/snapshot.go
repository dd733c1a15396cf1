package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"heartbeat/membership"
)

// snapshot is what an agent knew about its cluster, kept for its next start.
type snapshot struct {
	// Node and Cluster say whose it is.
	Node    string    `json:"node"`
	Cluster string    `json:"cluster"`
	Saved   time.Time `json:"saved"`
	// Left tells that the node left gracefully after this.
	Left    bool          `json:"left"`
	Members []knownMember `json:"members"`
}

// knownMember is a member that could be joined through.
type knownMember struct {
	Name  string         `json:"name"`
	Addr  netip.AddrPort `json:"addr"`
	State string         `json:"state"` // alive, suspect or failed
}

// The file is one line of text and a JSON object:
//
//	heartbeat members 1 <SHA-256 of all that follows the line, in hex>
//	{"node":"n1",...}
const (
	snapshotMagic   = "heartbeat members "
	snapshotVersion = "1"
	// maxSnapshotMembers is more than are ever tried. It bounds the file in big
	// clusters.
	maxSnapshotMembers = 4096
	maxSnapshotBytes   = 8 << 20
	maxSnapshotName    = 128
)

func (s snapshot) encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the members: %w", err)
	}
	body = append(body, '\n')
	sum := sha256.Sum256(body)
	head := snapshotMagic + snapshotVersion + " " + hex.EncodeToString(sum[:]) + "\n"
	return append([]byte(head), body...), nil
}

// decodeSnapshot reads a snapshot back. It fails on anything that is not whole
// and of this version, and then returns nothing of it.
func decodeSnapshot(data []byte) (snapshot, error) {
	if len(data) > maxSnapshotBytes {
		return snapshot{}, fmt.Errorf("it has more than %d bytes", maxSnapshotBytes)
	}
	head, body, whole := bytes.Cut(data, []byte("\n"))
	rest, ours := strings.CutPrefix(string(head), snapshotMagic)
	version, sum, hasSum := strings.Cut(rest, " ")
	switch {
	case !ours:
		return snapshot{}, errors.New("it is no snapshot of members")
	case version != snapshotVersion:
		return snapshot{}, fmt.Errorf("it is of version %.16q, which this agent does not read", version)
	}
	if got := sha256.Sum256(body); !whole || !hasSum || sum != hex.EncodeToString(got[:]) {
		return snapshot{}, errors.New("its checksum does not match: it is torn or was changed")
	}
	var s snapshot
	if err := json.Unmarshal(body, &s); err != nil {
		return snapshot{}, fmt.Errorf("its content cannot be read: %w", err)
	}
	return s, s.check()
}

func (s snapshot) check() error {
	if len(s.Members) > maxSnapshotMembers {
		return fmt.Errorf("it holds %d members: at most %d are possible", len(s.Members), maxSnapshotMembers)
	}
	for i, m := range s.Members {
		if m.Name == "" || len(m.Name) > maxSnapshotName || !m.Addr.IsValid() || m.Addr.Port() == 0 || m.Addr.Addr().IsUnspecified() || m.Addr.Addr().IsMulticast() {
			return fmt.Errorf("member %d has no usable name and address", i)
		}
	}
	return nil
}

// snapshotOf takes from a view those members that could be joined through:
// all but the node itself and those that have left. Alive ones come first, so
// that the bound costs the others. Members of earlier that the view does not
// know are kept behind them.
func snapshotOf(view *membership.View, cluster string, earlier []knownMember) snapshot {
	self := view.Self()
	s := snapshot{Node: self.Name, Cluster: cluster, Saved: time.Now().UTC().Truncate(time.Second), Members: []knownMember{}}
	for _, live := range []bool{true, false} {
		for m := range view.All() {
			if m.Local || m.State == membership.Left || !m.Addr.IsValid() || (m.State == membership.Alive) != live {
				continue
			}
			s.Members = append(s.Members, knownMember{Name: m.Name, Addr: m.Addr, State: m.State.String()})
		}
	}
	for _, m := range earlier {
		if _, known := view.Member(m.Name); !known {
			s.Members = append(s.Members, m)
		}
	}
	s.Members = slices.Clip(s.Members[:min(len(s.Members), maxSnapshotMembers)])
	return s
}

// sameMembers tells whether saving b over a would change nothing.
func sameMembers(a, b snapshot) bool {
	return a.Node == b.Node && a.Cluster == b.Cluster && a.Left == b.Left && slices.Equal(a.Members, b.Members)
}
