package membership

// Healed says that this node has reached a failed member, or a seed, again and that members came back
// because of it. It changes nothing but the journal: the members themselves come back by [Joined].
type Healed struct {
	Name string // the member that was reached; this node itself when it was a seed
	Note string // what was done and what came of it, one plain sentence
}

func (Healed) input() {}

// maxNote bounds a note of the owner's, in bytes.
const maxNote = 512

// healed notes it.
func (c *Core) healed(in Healed) {
	r := c.table.get(in.Name)
	if r == nil || r.fact.state == 0 {
		return
	}
	c.write(EntryHealed, r.fact, r.fact.inc, "", SourceRule, in.Note[:min(len(in.Note), maxNote)])
}
