package gossip

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var ignoreUnset = cmp.Options{
	cmpopts.IgnoreFields(Config{}, "Logger", "Transport", "Engine", "Keyring"),
	cmpopts.EquateComparable(netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

func TestProfilesAreValid(t *testing.T) {
	for _, name := range []string{"lan", "wan", "local"} {
		c, err := Profile(name)
		if err != nil {
			t.Fatal(err)
		}
		c.Name = "n1" // the host's name is not the profile's fault
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.Profile != name {
			t.Errorf("%s calls itself %q", name, c.Profile)
		}
	}
	if _, err := Profile("moon"); err == nil || !strings.Contains(err.Error(), "lan, wan or local") {
		t.Errorf("unknown profile: %v", err)
	}
}

// Whatever Get shows, Set reads back: the file that `config show` prints is one
// that can be loaded.
func TestSettingsRoundTrip(t *testing.T) {
	from := WAN()
	from.Name, from.Cluster, from.Advertise = "n1", "blue", "10.0.0.1"
	from.Tags = map[string]string{"role": "web", "zone": "a"}
	from.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	from.Compression = true
	var to Config
	to.Profile = from.Profile
	for _, s := range Settings() {
		text, err := from.Get(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.Set(s.Key, text); err != nil {
			t.Errorf("%s = %q: %v", s.Key, text, err)
		}
	}
	if diff := cmp.Diff(from, to, ignoreUnset); diff != "" {
		t.Error(diff)
	}
}

// Every field of Config that is a plain value can be set by name; a field that
// is forgotten in the table would silently keep its default.
func TestEveryFieldHasASetting(t *testing.T) {
	notByName := map[string]string{
		"Profile":   "chosen as a whole",
		"Keyring":   "a file of its own",
		"Logger":    "not a value",
		"Resolver":  "not a value",
		"Transport": "not a value",
		"Engine":    "not a value",
	}
	samples := map[string]string{"duration": "7m0s", "int": "17", "bool": "true", "string": "sample", "tags": "a=b", "networks": "10.0.0.0/8"}
	touched := make(map[string]bool)
	for _, s := range Settings() {
		var before, after Config
		if err := after.Set(s.Key, samples[s.Kind]); err != nil {
			t.Fatalf("%s: %v", s.Key, err)
		}
		b, a := reflect.ValueOf(before), reflect.ValueOf(after)
		for i := range a.NumField() {
			name := a.Type().Field(i).Name
			if notByName[name] == "" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
				touched[name] = true
			}
		}
		if s.Help == "" {
			t.Errorf("%s has no help", s.Key)
		}
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		name := reflect.TypeFor[Config]().Field(i).Name
		if !touched[name] && notByName[name] == "" {
			t.Errorf("no setting sets %s", name)
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	c := LAN()
	c.Name = "two words"
	c.Bind = ""
	c.Port = 70000
	c.ProbeInterval = time.Second
	c.ProbeTimeout = time.Second
	c.SuspicionMult = 99
	c.GossipInterval = 2 * time.Minute
	c.Advertise = "0.0.0.0"
	c.Tags = map[string]string{"k": strings.Repeat("v", 600)}
	c.AcceptPlain = true
	c.Cluster = strings.Repeat("c", 256)
	err := c.Validate()
	if err == nil {
		t.Fatal("it fits?")
	}
	for _, want := range []string{
		`node.name: "two words" holds a space`,
		"network.bind: an address or an interface's name is needed",
		"network.port: 70000 is out of range: 0 to 65535",
		"probe.timeout: 1s must be less than probe.interval (1s)",
		"suspicion.mult: 99 is out of range",
		"gossip.interval: 2m0s must be less than suspicion.mult times probe.interval (1m39s)",
		"network.advertise: 0.0.0.0 is no address that others could reach",
		"node.tags: ",
		"encryption.accept_plain, encryption.send_plain: they mean nothing without a keyring",
		"cluster.name: 256 bytes are too many",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from:\n%v", want, err)
		}
	}
}

// Whoever sends plain messages must have peers that accept them, and the tap
// reads this node's own as it reads theirs.
func TestSendPlainNeedsAcceptPlain(t *testing.T) {
	ring, err := NewKeyring(newKey(t, 128))
	if err != nil {
		t.Fatal(err)
	}
	c := LAN()
	c.Keyring = ring
	for _, tc := range []struct{ accept, send, fits bool }{
		{false, false, true}, {true, false, true}, {true, true, true}, {false, true, false},
	} {
		c.AcceptPlain, c.SendPlain = tc.accept, tc.send
		if err := c.Validate(); (err == nil) != tc.fits {
			t.Errorf("accept %v, send %v: %v", tc.accept, tc.send, err)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	for _, tc := range []struct{ key, value, want string }{
		{"probe.intervall", "1s", `"probe.intervall" is not known; did you mean "probe.interval"?`},
		{"zzz", "1s", `"zzz" is not known`},
		{"probe.interval", "1", `probe.interval: "1" is not a duration such as`},
		{"probe.indirect", "three", `"three" is not a whole number`},
		{"probe.disable_tcp", "yes", `"yes" is neither true nor false`},
		{"network.allowed", "10.0.0.0", `"10.0.0.0" is not a network such as`},
		{"node.tags", "web", `tag "web" is not of the form key=value`},
		{"node.tags", "a=1,a=2", `tag "a" is given twice`},
	} {
		c := LAN()
		before := c
		err := c.Set(tc.key, tc.value)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s=%s: %v, want %q", tc.key, tc.value, err, tc.want)
		}
		if diff := cmp.Diff(before, c, ignoreUnset); diff != "" {
			t.Errorf("%s=%s changed the configuration all the same: %s", tc.key, tc.value, diff)
		}
	}
}

func TestParseSeed(t *testing.T) {
	for _, tc := range []struct {
		seed string
		want Seed // zero: refused
	}{
		{"n1", Seed{Host: "n1", Port: 7946}}, {"n1.example.org:80", Seed{Host: "n1.example.org", Port: 80}},
		{"10.0.0.1", Seed{Host: "10.0.0.1", Port: 7946}}, {"10.0.0.1:1", Seed{Host: "10.0.0.1", Port: 1}},
		{"::1", Seed{Host: "::1", Port: 7946}}, {"[::1]", Seed{Host: "::1", Port: 7946}}, {"[fe80::1]:99", Seed{Host: "fe80::1", Port: 99}},
		{" n1 ", Seed{Host: "n1", Port: 7946}},
		{"_heartbeat._udp.example.com", Seed{Host: "_heartbeat._udp.example.com", SRV: true}},
		{"srv:cluster.example.com", Seed{Host: "cluster.example.com", SRV: true}},
		{"srv:_heartbeat._tcp.example.com.", Seed{Host: "_heartbeat._tcp.example.com.", SRV: true}},
		{seed: ""}, {seed: "a:b:c"}, {seed: "n1:"}, {seed: "n1:0"}, {seed: "n1:99999"}, {seed: ":80"}, {seed: "a b"}, {seed: "http://n1"},
		{seed: "srv:"}, {seed: "srv:n1:80"}, {seed: "_heartbeat._udp.example.com:80"}, {seed: "srv:a/b"},
	} {
		got, err := ParseSeed(tc.seed, DefaultPort)
		if got != tc.want || (err != nil) != (tc.want == Seed{}) {
			t.Errorf("%q: %+v %v, want %+v", tc.seed, got, err, tc.want)
		}
	}
}

func FuzzParseSeed(f *testing.F) {
	for _, s := range []string{"n1", "n1:80", "[::1]:80", "::1", "a:b:c", "[", "]:1", "srv:n1", "_a._b.c", "srv:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seed, err := ParseSeed(text, DefaultPort)
		if err == nil && (seed.Host == "" || !seed.SRV && (seed.Port < 1 || seed.Port > 65535) || seed.SRV && seed.Port != 0) {
			t.Errorf("%q became %+v", text, seed)
		}
	})
}

func FuzzSet(f *testing.F) {
	for _, s := range Settings() {
		f.Add(s.Key, "1s")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		c := LAN()
		if c.Set(key, value) != nil {
			return
		}
		_ = c.Validate()
		text, err := c.Get(key)
		if err != nil {
			t.Fatalf("%s was set but cannot be read: %v", key, err)
		}
		if err := c.Set(key, text); err != nil && !strings.Contains(value, ",") {
			t.Errorf("%s = %q reads back as %q: %v", key, value, text, err)
		}
	})
}
