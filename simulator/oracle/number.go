package oracle

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Number is a measured number in JSON. Times are in seconds. Positive infinity stands for "never" or "not bounded"
// and is written as null; NaN does not occur.
type Number float64

// never is the time of what did not happen in the run.
var never = Number(math.Inf(1))

// seconds converts a duration, rounded to microseconds.
func seconds(d time.Duration) Number {
	return Number(float64(d.Round(time.Microsecond)/time.Microsecond) / 1e6)
}

// Never says whether the number stands for something that did not happen.
func (n Number) Never() bool { return math.IsInf(float64(n), 1) }

// MarshalJSON writes the number with 12 significant digits, or null for infinity.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.Never() {
		return []byte("null"), nil
	}
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, -1) {
		return nil, fmt.Errorf("write a measured number: %v is none", v)
	}
	return strconv.AppendFloat(nil, float64(n), 'g', 12, 64), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (n *Number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = never
		return nil
	}
	if err := json.Unmarshal(text, (*float64)(n)); err != nil {
		return fmt.Errorf("read a measured number: %w", err)
	}
	return nil
}
