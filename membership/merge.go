package membership

import "cmp"

// Claim is what somebody says about a member: its state at an incarnation. Claims are
// ordered by incarnation first, then by state in the order alive < suspect < failed < left.
// The zero State says nothing and comes before all others.
type Claim struct {
	Incarnation uint32
	State       State
}

// outcome is what a claim does to what is known.
type outcome uint8

const (
	keep  outcome = iota // the claim is older or weaker: nothing changes
	agree                // the claim says what is known: nothing changes, but it is further evidence
	take                 // the claim replaces what is known
	ask                  // the claim is stronger, but moves a member in or out: only the engine may
)

// mergeRules says for every known state, claimed state, and claimed incarnation lower
// than, equal to or higher than the known one, what the claim does. See Merge.
var mergeRules = [Left + 1][Left + 1][3]outcome{
	0: {
		0:       {keep, agree, take},
		Alive:   {ask, ask, ask},
		Suspect: {ask, ask, ask},
		Failed:  {take, take, take},
		Left:    {take, take, take},
	},
	Alive: {
		0:       {keep, keep, keep},
		Alive:   {keep, agree, take},
		Suspect: {keep, take, take},
		Failed:  {keep, ask, ask},
		Left:    {keep, ask, ask},
	},
	Suspect: {
		0:       {keep, keep, keep},
		Alive:   {keep, keep, take},
		Suspect: {keep, agree, take},
		Failed:  {keep, ask, ask},
		Left:    {keep, ask, ask},
	},
	Failed: {
		0:       {keep, keep, keep},
		Alive:   {keep, keep, ask},
		Suspect: {keep, keep, ask},
		Failed:  {keep, agree, take},
		Left:    {keep, take, take},
	},
	Left: {
		0:       {keep, keep, keep},
		Alive:   {keep, keep, ask},
		Suspect: {keep, keep, ask},
		Failed:  {keep, keep, take},
		Left:    {keep, agree, take},
	},
}

// weigh looks the claim up in the table.
func weigh(known, claim Claim) outcome {
	known, claim = known.valid(), claim.valid()
	return mergeRules[known.State][claim.State][1+cmp.Compare(claim.Incarnation, known.Incarnation)]
}

// valid returns c, or the claim that says nothing when the state is none of the declared ones.
func (c Claim) valid() Claim {
	if c.State > Left {
		return Claim{}
	}
	return c
}

// Merge returns the stronger of two claims. The rules are SWIM's (Das, Gupta, Motivala
// 2002, section 4.2): an alive claim overrides alive and suspect ones of a lower incarnation, a
// suspect claim overrides suspect ones of a lower and alive ones of the same or a
// lower incarnation. Where SWIM makes failed final, a higher incarnation wins here, because nodes
// come back, and left overrides failed at the same incarnation.
//
//	known \ claimed   alive         suspect       failed        left
//	unknown           engine        engine        take          take
//	alive             - = T         - T T         - E E         - E E
//	suspect           - - T         - = T         - E E         - E E
//	failed            - - E         - - E         - = T         - T T
//	left              - - E         - - E         - - T         - = T
//
// The three signs of a field are for a claimed incarnation lower than, equal to and
// higher than the known one: "-" keeps what is known, "=" agrees with it, "T" takes the
// claim. "E" takes it too, but moves a member between held (alive, suspect) and gone
// (failed, left): a [Core] lets only the engine's inputs do that.
//
// Merge is commutative, associative and idempotent, so the order in which claims arrive
// and how often they do makes no difference.
func Merge(a, b Claim) Claim {
	switch weigh(a, b) {
	case take, ask:
		return b.valid()
	}
	return a.valid()
}
