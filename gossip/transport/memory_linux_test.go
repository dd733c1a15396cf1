package transport

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"heartbeat/gossip/transport/transporttest"
)

// mostGrowth is how much a node may grow under attack.
const mostGrowth = 64 << 20

// attacks are the streams of somebody who wants a node to run out of memory. They are made once, before anything is measured.
func attacks(t testing.TB) map[string][]byte {
	var states []any
	states = append(states, pushPullHeader{16384, 4 << 20, true})
	for i := range 16384 {
		m := aMember(fmt.Sprint("n", i))
		m.Meta = bytes.Repeat([]byte{'m'}, 400)
		states = append(states, m)
	}
	all := message(t, msgPushPull, states...) // the user state is missing too
	hugeMeta := message(t, msgPushPull, pushPullHeader{16000, 0, true})
	hugeMeta = append(hugeMeta, "\x81\xa4Meta\xdb\xff\xff\xff\xff"...)
	return map[string][]byte{
		"silent":                      nil,
		"half a head":                 {msgPushPull, 0x83, 0xa5},
		"a million members":           message(t, msgPushPull, pushPullHeader{1 << 20, 0, true}),
		"all members but one byte":    all[:len(all)-1],
		"all members, tiny":           append(message(t, msgPushPull, pushPullHeader{16384, 0, true}), bytes.Repeat([]byte{0x80}, 16380)...),
		"user state of 4 MB":          message(t, msgPushPull, pushPullHeader{0, 4 << 20, true}),
		"user state of 20 MB":         message(t, msgPushPull, pushPullHeader{0, 20 << 20, true}),
		"user message of 4 MB":        append(message(t, msgUser, userHeader{4 << 20}), make([]byte, 4<<20-1)...),
		"4 GB of meta":                append(hugeMeta, make([]byte, 15<<20)...),
		"4 GB of ping":                append(append([]byte{msgPing}, "\x81\xa4Node\xdb\xff\xff\xff\xff"...), make([]byte, 8<<20)...),
		"a bomb of user message":      pack(t, append(message(t, msgUser, userHeader{4 << 20}), make([]byte, 40<<20)...)),
		"a bomb of members":           pack(t, append(message(t, msgPushPull, pushPullHeader{16384, 0, true}), bytes.Repeat([]byte{0x80}, 40<<20)...)),
		"20 MB encrypted":             append(encryptedHead(20<<20), make([]byte, 1<<20)...),
		"as much encrypted as passes": append(encryptedHead(uint32(defaultLimits().largest())), make([]byte, defaultLimits().largest()-2)...),
	}
}

// TestVictim is not a test of its own: it is the node under attack, in a process that does nothing else. It prints its port and
// runs until its standard input ends.
func TestVictim(t *testing.T) {
	mode := os.Getenv(victimMode)
	if mode == "" {
		t.Skip("only a process for TestMemoryStaysBoundedUnderAttack")
	}
	tr := open(t, Config{Logger: zerolog.Nop()})
	transporttest.Engine(t, "victim", tr, secret(mode == "encrypted"))
	fmt.Printf("port %d\n", tr.Port())
	io.Copy(io.Discard, os.Stdin)
	for why, n := range tr.Stats().Drops {
		if n > 0 {
			fmt.Printf("%s: %d\n", Drop(why), n)
		}
	}
}

const victimMode = "TRANSPORT_TEST_VICTIM"

func secret(encrypted bool) func(*memberlist.Config) {
	return func(c *memberlist.Config) {
		if encrypted {
			c.SecretKey = make([]byte, 16)
		}
	}
}

// victim starts such a process and returns its address, a function for the most memory it has held resident so far (in bytes),
// and one that ends it and returns what it printed.
func victim(t *testing.T, mode string) (addr string, resident func() int64, end func() string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimMode+"="+mode)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var port int
	if _, err := fmt.Fscanf(lines, "port %d\n", &port); err != nil {
		t.Fatalf("the victim does not say its port: %v", err)
	}
	resident = func() int64 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		var kb int64
		if _, err := fmt.Sscan(rest, &kb); err != nil {
			t.Fatalf("reading the peak of resident memory: %v", err)
		}
		return kb << 10
	}
	return fmt.Sprintf("127.0.0.1:%d", port), resident, sync.OnceValue(func() string {
		in.Close()
		printed, _ := io.ReadAll(lines)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the victim: %v\n%s", err, printed)
		}
		return string(printed)
	})
}

func TestMemoryStaysBoundedUnderAttack(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("takes several seconds, and means nothing under the race detector")
	}
	streams := attacks(t)
	for _, mode := range []string{"plain", "encrypted"} {
		t.Run(mode, func(t *testing.T) {
			addr, resident, end := victim(t, mode)
			defer end()
			before := resident()
			var attackers sync.WaitGroup
			i := 0
			for name, data := range streams {
				for range 40 {
					from := fmt.Sprintf("127.0.1.%d", 1+i%20)
					i++
					attackers.Go(func() { attack(t, name, from, addr, data) })
				}
			}
			// Meanwhile an honest node gets in.
			honest := transporttest.Engine(t, "honest", openNet(t, "127.0.0.2"), secret(mode == "encrypted"))
			if _, err := honest.Join([]string{addr}); err != nil {
				t.Errorf("joining during the attack: %v", err)
			}
			attackers.Wait()
			grown := resident() - before
			t.Logf("%d streams: the process had %.1f MB and has grown by %.1f MB at most\n%s", i, float64(before)/(1<<20), float64(grown)/(1<<20), end())
			if grown > mostGrowth {
				t.Errorf("that is more than %d MB", mostGrowth>>20)
			}
		})
	}
}

// attack sends a stream and holds it open for a while.
func attack(t testing.TB, name, from, to string, data []byte) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if _, err := conn.Write(data); err != nil {
		return // the victim has had enough
	}
	conn.Read(make([]byte, 1)) // until it closes, or the time is over
}
