package scenario

import (
	"strings"
	"testing"
)

func TestParseSeedsAndFractionsAsInAFile(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"7", "7"}, {"1-50", "1-50"}, {"1-3, 9", "1-3, 9"}, {"9,1-3", "9, 1-3"},
	} {
		if s, err := ParseSeeds(tc.text); err != nil || s.String() != tc.want {
			t.Errorf("%s: %v, %v, want %s", tc.text, s, err, tc.want)
		}
	}
	for _, tc := range []struct{ text, want string }{
		{"", "is not a seed"}, {"1,", "is not a seed"}, {"-1", "is not a seed"}, {"3-1", "runs backwards"},
		{"1-5,3", "repeats a seed"}, {"1-10001", "too many runs"}, {"0-18446744073709551615", "too many runs"},
	} {
		if s, err := ParseSeeds(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, %v, want %q", tc.text, s, err, tc.want)
		}
	}
	for _, text := range []string{"1%", "0.01"} {
		if f, err := ParseFraction(text); err != nil || f != 0.01 {
			t.Errorf("%s: %v, %v", text, f, err)
		}
	}
	for _, text := range []string{"", "5", "-1%", "101%", "x"} {
		if f, err := ParseFraction(text); err == nil {
			t.Errorf("%q is taken as %v", text, f)
		}
	}
}
