package scenario

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// Fraction is a share from 0 to 1. In a file it is a percentage such as 0.5%, or a plain number.
type Fraction float64

func (f *Fraction) parseText(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !decimal(number) {
		return fmt.Errorf("%q is not a share: write it like 0.5%% or 0.005", text)
	}
	if percent {
		v /= 100
	}
	switch {
	case v < 0:
		return fmt.Errorf("%s is negative", text)
	case v > 1 && !percent:
		return fmt.Errorf("%s is more than everything, which is 1 (or did you mean %s%%?)", text, text)
	case v > 1:
		return fmt.Errorf("%s is more than everything, which is 100%%", text)
	}
	*f = Fraction(v)
	return nil
}

// ParseFraction reads a share as in a file.
func ParseFraction(text string) (Fraction, error) {
	var f Fraction
	err := f.parseText(text)
	return f, err
}

// String writes the share as a percentage.
func (f Fraction) String() string {
	return strconv.FormatFloat(math.Round(float64(f)*100*1e9)/1e9, 'f', -1, 64) + "%"
}

// decimal says whether text is a plain decimal number, which leaves out NaN, infinity, hexadecimal and the like.
func decimal(text string) bool { return text != "" && strings.Trim(text, "0123456789.-") == "" }

// Rate is what a link carries, in bits per second. 0 means no limit. In a file it is a number with netem's
// units bit, kbit, mbit or gbit (powers of 1000).
type Rate int64

// rateUnits are ordered such that no unit is cut off as the suffix of another.
var rateUnits = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

func (r *Rate) parseText(text string) error {
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !decimal(number) {
			break
		}
		v *= u.bits
		if v < 1 || v > 1e12 {
			return fmt.Errorf("%s is out of range: a rate is at least 1bit and at most 1000gbit", text)
		}
		*r = Rate(v)
		return nil
	}
	return fmt.Errorf("%q is not a rate: write it like 64kbit, 10mbit or 1gbit", text)
}

// ParseRate reads a rate as in a file.
func ParseRate(text string) (Rate, error) {
	var r Rate
	err := r.parseText(text)
	return r, err
}

// String writes the rate with the largest unit that leaves a number of at least 1.
func (r Rate) String() string {
	for _, u := range rateUnits {
		if float64(r) >= u.bits {
			return strconv.FormatFloat(float64(r)/u.bits, 'f', -1, 64) + u.name
		}
	}
	return "0bit"
}

// DurationRange is a range of durations, in a file written like 500ms..2.5s. One duration alone is the range
// of only that.
type DurationRange struct{ Min, Max time.Duration }

func (r *DurationRange) parseText(text string) error {
	low, high, isRange := strings.Cut(text, "..")
	first, err := parseDuration(low)
	if err != nil {
		return err
	}
	last := first
	if isRange {
		if last, err = parseDuration(high); err != nil {
			return err
		}
	}
	if last < first {
		return fmt.Errorf("%s runs backwards: write the shorter time first", text)
	}
	*r = DurationRange{Min: first, Max: last}
	return nil
}

// String writes the range as in a file.
func (r DurationRange) String() string {
	if r.Min == r.Max {
		return formatDuration(r.Min)
	}
	return formatDuration(r.Min) + ".." + formatDuration(r.Max)
}

// parseDuration reads a duration in Go's notation, from 0 to MaxTime.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration: write it like 500ms, 2s or 1m30s", text)
	case d < 0:
		return 0, fmt.Errorf("%s is negative", text)
	case d > MaxTime:
		return 0, fmt.Errorf("%s is too long: at most %s", text, formatDuration(MaxTime))
	}
	return d, nil
}

// formatDuration writes a duration in Go's notation without trailing zero units: 2m, not 2m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Seeds are the seeds of the runs, in file order. In a file they are a number, a range such as 1-50, or a
// list of these.
type Seeds []SeedRange

// SeedRange is the seeds from First to Last, both included.
type SeedRange struct{ First, Last uint64 }

// Len returns the number of seeds.
func (s Seeds) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// All goes through the seeds in order.
func (s Seeds) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, r := range s {
			for i := range r.Last - r.First + 1 {
				if !yield(r.First + i) {
					return
				}
			}
		}
	}
}

// String writes the seeds as in a file.
func (s Seeds) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = strconv.FormatUint(r.First, 10)
		if r.Last != r.First {
			parts[i] += "-" + strconv.FormatUint(r.Last, 10)
		}
	}
	return strings.Join(parts, ", ")
}

// ParseSeeds reads seeds from one text: numbers and ranges such as 1-50,
// separated by commas.
func ParseSeeds(text string) (Seeds, error) {
	var s Seeds
	for part := range strings.SplitSeq(text, ",") {
		if err := s.add(strings.TrimSpace(part)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// add appends what one text says, and refuses seeds that are there already: their runs would count twice.
func (s *Seeds) add(text string) error {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 64)
	last, err2 := strconv.ParseUint(high, 10, 64)
	switch {
	case errors.Join(err, err2) != nil:
		return fmt.Errorf("%q is not a seed: write a number such as 7, or a range such as 1-50", text)
	case last < first:
		return fmt.Errorf("%s runs backwards: write the smaller seed first", text)
	case last-first >= MaxSeeds || s.Len()+int(last-first)+1 > MaxSeeds:
		return fmt.Errorf("%s makes too many runs: at most %d seeds", text, MaxSeeds)
	}
	for _, r := range *s {
		if first <= r.Last && r.First <= last {
			return fmt.Errorf("%s repeats a seed given before: %s", text, Seeds{r})
		}
	}
	*s = append(*s, SeedRange{First: first, Last: last})
	return nil
}
