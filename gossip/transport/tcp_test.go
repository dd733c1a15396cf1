package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"heartbeat/gossip/transport/transporttest"
)

// logBuffer keeps log lines. It is safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) lines() int { return strings.Count(b.String(), "\n") }

// dialFrom opens a plain TCP connection from a loopback address of choice.
func dialFrom(t testing.TB, from, to string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func nextStream(t testing.TB, tr *Transport) net.Conn {
	t.Helper()
	select {
	case s := <-tr.StreamCh():
		t.Cleanup(func() { s.Close() })
		return s
	case <-time.After(10 * time.Second):
		t.Fatalf("no stream has arrived; %+v", tr.Stats())
		return nil
	}
}

// A node of another cluster is told so by its own Join.
func TestForeignClusterIsToldInWords(t *testing.T) {
	for _, c := range []struct{ ours, theirs, want string }{
		{"here", "xyz", `remote error: this node belongs to another cluster than "xyz"`},
		{"here", "", "remote error: this node belongs to a cluster with a label, and the stream carries none"},
		{"", "xyz", `remote error: this node belongs to another cluster than "xyz"`},
	} {
		var log logBuffer
		us := open(t, Config{Label: c.ours, Logger: zerolog.New(&log)})
		transporttest.Engine(t, "us", us, func(m *memberlist.Config) { m.Label = c.ours })
		them := transporttest.Engine(t, "them", openNet(t, "127.0.0.1"), func(m *memberlist.Config) { m.Label = c.theirs })
		_, err := them.Join([]string{at(us, "127.0.0.1")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: the error is %v", c, err)
		}
		if c.ours != "" && err != nil && strings.Contains(err.Error(), c.ours) {
			t.Errorf("%+v: the error gives our label away: %v", c, err)
		}
		if us.Stats().Drops[StreamForeignLabel] == 0 || log.lines() != 1 || !strings.Contains(log.String(), "127.0.0.1:") {
			t.Errorf("%+v: log %q", c, log.String())
		}
	}
}

func TestRefusalIsToldInWords(t *testing.T) {
	tr := open(t, Config{MaxMembers: 5, Logger: zerolog.Nop()})
	conn := dialFrom(t, "127.0.0.1", at(tr, "127.0.0.1"))
	if _, err := conn.Write(message(t, msgPushPull, pushPullHeader{6, 0, true})); err != nil {
		t.Fatal(err)
	}
	// What still comes is drained, so that no reset overtakes the words.
	if _, err := conn.Write(make([]byte, 500_000)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	want := "stream refused: it announces 6 members, the limit of this node is 5"
	if err != nil || len(answer) == 0 || answer[0] != msgErr || !strings.Contains(string(answer), want) {
		t.Errorf("answer %q, error %v", answer, err)
	}
	transporttest.Eventually(t, "the stream is closed", func() bool { return tr.Stats().StreamsOpen == 0 })
}

// Engines with other settings than ours must be able to join: compression is memberlist's default.
func TestEnginesOfOthers(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 16)
	for _, c := range []struct {
		name   string
		change func(*memberlist.Config)
	}{
		{"plain", nil},
		{"compressing", func(c *memberlist.Config) { c.EnableCompression = true }},
		{"labelled and compressing", func(c *memberlist.Config) { c.Label, c.EnableCompression = "here", true }},
		{"encrypting", func(c *memberlist.Config) { c.SecretKey = key }},
		{"labelled, compressing and encrypting", func(c *memberlist.Config) { c.Label, c.SecretKey, c.EnableCompression = "here", key, true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var label memberlist.Config
			if c.change != nil {
				c.change(&label)
			}
			tr := open(t, Config{Label: label.Label, Logger: zerolog.Nop()})
			ours := transporttest.Engine(t, "ours", tr, func(m *memberlist.Config) {
				if c.change != nil {
					c.change(m)
				}
				m.EnableCompression = false
			})
			meta := strings.Repeat("meta ", 100)
			theirs := transporttest.Engine(t, "theirs", openNet(t, "127.0.0.1"), func(m *memberlist.Config) {
				m.Delegate = metaDelegate(meta)
				if c.change != nil {
					c.change(m)
				}
			})
			if _, err := theirs.Join([]string{at(tr, "127.0.0.1")}); err != nil {
				t.Fatalf("they join us: %v", err)
			}
			transporttest.Eventually(t, "both see both", func() bool { return ours.NumMembers() == 2 && theirs.NumMembers() == 2 })
			if _, err := ours.Join([]string{transporttest.AddressOf(theirs)}); err != nil {
				t.Fatalf("we join them: %v", err)
			}
			if err := theirs.SendReliable(ours.LocalNode(), []byte(strings.Repeat("text ", 10000))); err != nil {
				t.Errorf("a user message over a stream: %v", err)
			}
			if d := tr.Stats().Drops; d != [NumDrops]uint64{} {
				t.Errorf("something was dropped: %v", d)
			}
		})
	}
}

// metaDelegate is a delegate of which only the meta matters.
type metaDelegate string

func (d metaDelegate) NodeMeta(int) []byte           { return []byte(d) }
func (metaDelegate) NotifyMsg([]byte)                {}
func (metaDelegate) GetBroadcasts(int, int) [][]byte { return nil }
func (metaDelegate) LocalState(bool) []byte          { return nil }
func (metaDelegate) MergeRemoteState([]byte, bool)   {}

// A peer that keeps a stream alive by single bytes cannot move its end, nor can the engine.
func TestHardDeadline(t *testing.T) {
	tr := open(t, Config{StreamTimeout: 300 * time.Millisecond, Logger: zerolog.Nop()})
	conn := dialFrom(t, "127.0.0.1", at(tr, "127.0.0.1"))
	if _, err := conn.Write([]byte{msgPing}); err != nil {
		t.Fatal(err)
	}
	s := nextStream(t, tr)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C { // dribble until the other end gives up
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
		}
	})
	if err := s.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = s.Read(make([]byte, 1))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading ended with %v", err)
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing after the end: %v", err)
	}
	conn.Close()
	wg.Wait()
}

func TestStreamEndsWhereItsHeadSaid(t *testing.T) {
	for _, c := range []struct {
		name  string
		cfg   Config
		first []byte
		most  int64
		want  string
	}{
		{"announced", Config{}, message(t, msgUser, userHeader{10}), 1 + 10 + smallBody, "longer than it announced"},
		{"MaxStreamBytes", Config{MaxStreamBytes: 5000}, message(t, msgUser, userHeader{1 << 20}), 5000, "exceeds 5000 bytes"},
		{"compressed", Config{}, pack(t, append(message(t, msgUser, userHeader{10}), make([]byte, 10<<20)...)), 1 + 10 + smallBody, "longer than it announced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Logger = zerolog.Nop()
			tr := open(t, c.cfg)
			conn := dialFrom(t, "127.0.0.1", at(tr, "127.0.0.1"))
			var wg sync.WaitGroup
			wg.Go(func() {
				io.Copy(conn, io.MultiReader(bytes.NewReader(c.first), io.LimitReader(zeros{}, 10<<20))) // ends when the reader closes
			})
			s := nextStream(t, tr)
			n, err := io.Copy(io.Discard, s)
			if n != c.most || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("read %d bytes, error %v", n, err)
			}
			s.Close()
			wg.Wait()
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What a peer answers is held to the same limits.
func TestAnswersAreGuarded(t *testing.T) {
	tr := open(t, Config{Logger: zerolog.Nop()})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct {
		answer []byte
		want   string
	}{
		{message(t, msgPushPull, pushPullHeader{1 << 20, 0, false}), "stream refused: it announces 1048576 members"},
		{message(t, msgErr, struct{ Error string }{"no"}), ""},
		{nil, "EOF"},
	} {
		conn, err := tr.DialTimeout(ln.Addr().String(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Write(c.answer); err != nil {
			t.Fatal(err)
		}
		other.Close()
		got, err := io.ReadAll(conn)
		switch {
		case c.want == "" && (err != nil || !bytes.Equal(got, c.answer)):
			t.Errorf("answer %q: got %q, error %v", c.answer, got, err)
		case c.want == "EOF" && (err != nil || len(got) > 0):
			t.Errorf("no answer: got %q, error %v", got, err)
		case c.want != "" && c.want != "EOF" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("answer %q: error %v", c.answer, err)
		}
		conn.Close()
	}
	if _, err := tr.DialTimeout(ln.Addr().String(), 0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("dialling with no time left: %v", err)
	}
}

// An address that holds every place, silent or with heads that promise much, does not keep others from joining.
func TestOneAddressCannotLockOthersOut(t *testing.T) {
	for _, c := range []struct {
		name string
		head []byte
	}{
		{"silent", nil},
		{"half a head", []byte{msgPushPull, 0x83}},
		{"a large promise", message(t, msgPushPull, pushPullHeader{16000, 4 << 20, true})},
		{"a small promise", message(t, msgPushPull, pushPullHeader{1, 0, true})},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := open(t, Config{MaxStreams: 64, Logger: zerolog.Nop()})
			transporttest.Engine(t, "victim", tr, nil)
			for range 100 {
				conn := dialFrom(t, "127.0.0.9", at(tr, "127.0.0.1"))
				conn.Write(c.head) // fails when the stream has been closed already
			}
			for i := range 3 {
				other := transporttest.Engine(t, fmt.Sprint("honest ", i), openNet(t, fmt.Sprintf("127.0.0.%d", 2+i)), nil)
				if _, err := other.Join([]string{at(tr, "127.0.0.1")}); err != nil {
					t.Errorf("joining during the attack: %v", err)
				}
			}
			if n := tr.Stats().StreamsOpen; n > 64 {
				t.Errorf("%d streams are open", n)
			}
		})
	}
}

// A thousand nodes of one address join through one seed at the same moment. memberlist alone turns away all but 128.
func TestThousandJoinAtOnce(t *testing.T) {
	joiners := 1000
	if raceDetector { // each answer holds all that came before, which takes a busy machine longer than streams may last
		joiners = 400
	}
	tr := open(t, Config{Logger: zerolog.Nop()})
	transporttest.Engine(t, "seed", tr, nil)
	var conns []*net.TCPConn
	for range joiners {
		conns = append(conns, dialFrom(t, "127.0.0.1", at(tr, "127.0.0.1")))
	}
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			join := message(t, msgPushPull, pushPullHeader{1, 0, true}, aMember(fmt.Sprint("joiner ", i)))
			if _, err := conn.Write(join); err != nil {
				t.Errorf("joiner %d: %v", i, err)
			}
			if answer, err := io.ReadAll(conn); err != nil || len(answer) == 0 || answer[0] != msgPushPull {
				t.Errorf("joiner %d: answer %.20q, error %v", i, answer, err)
			}
		})
	}
	wg.Wait()
	if d := tr.Stats().Drops; d[StreamFull]+d[StreamDisplaced]+d[StreamRefused]+d[StreamNoTurn] != 0 {
		t.Errorf("streams were dropped: %v", d)
	}
}

// Shutdown ends what others wait for: streams of both directions, dials, and streams on their way to an engine that takes none.
func TestShutdownEndsEverything(t *testing.T) {
	a, b := open(t, Config{Logger: zerolog.Nop()}), open(t, Config{Bind: "127.0.0.2", Logger: zerolog.Nop()})
	dialled, err := a.DialTimeout(at(b, "127.0.0.2"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dialled.Write([]byte{msgPing}); err != nil {
		t.Fatal(err)
	}
	inbound := nextStream(t, b)
	for range 3 {
		conn := dialFrom(t, "127.0.0.1", at(b, "127.0.0.2"))
		if _, err := conn.Write([]byte{msgPing}); err != nil {
			t.Fatal(err)
		}
	}
	transporttest.Eventually(t, "all streams are open", func() bool { return b.Stats().StreamsOpen == 4 })
	if _, err := io.ReadFull(inbound, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, end := range []net.Conn{inbound, dialled} {
		wg.Go(func() {
			if _, err := end.Read(make([]byte, 1)); err == nil {
				t.Error("a read goes on after the shutdown")
			}
		})
	}
	wg.Go(func() { b.Shutdown() })
	if err := errors.Join(a.Shutdown(), b.Shutdown()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := b.Stats().StreamsOpen; n != 0 {
		t.Errorf("%d streams are still open", n)
	}
}
