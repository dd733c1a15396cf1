package simulator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"heartbeat/simulator/oracle"
)

// job is what a child process gets on its standard input: one seed.
type job struct {
	Name   string   `json:"name"`
	Source string   `json:"source"`
	Set    []string `json:"set"`
	Seed   uint64   `json:"seed"`
	Trace  string   `json:"trace,omitempty"` // file to write the trace to
}

// news is a line that a child writes: how far it is, or its end.
type news struct {
	Passed float64           `json:"passed_s,omitempty"`
	Result *oracle.RunResult `json:"result,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// Child is the other side of Options.Child: it reads a job from in, plays it
// and writes what comes of it to out. It returns only errors of reading and
// writing; those of the run go to the parent.
func Child(ctx context.Context, in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	enc := json.NewEncoder(out)
	result, err := playJob(ctx, j, func(at time.Duration) {
		_ = enc.Encode(news{Passed: at.Seconds()}) // a dead parent shows at the end
	})
	end := news{Result: &result}
	if err != nil {
		end = news{Error: err.Error()}
	}
	if err := enc.Encode(end); err != nil {
		return fmt.Errorf("report to the parent: %w", err)
	}
	return nil
}

func playJob(ctx context.Context, j job, passed func(time.Duration)) (oracle.RunResult, error) {
	e, err := Parse(j.Name, []byte(j.Source), j.Set...)
	if err != nil {
		return oracle.RunResult{}, err
	}
	return play(ctx, e, j, Options{}, passed)
}

// collect is how much a child's heap may grow between two collections, in per
// cent (GOGC): a lot, for it lives shortly; but a table of a thousand members
// at each of a thousand nodes is most of what a machine has.
func collect(nodes int) string {
	if nodes >= 500 {
		return "GOGC=75"
	}
	return "GOGC=400"
}

// spawn plays one seed in a child process with one core, for its siblings have
// the others.
func spawn(ctx context.Context, command []string, nodes int, j job, passed func(time.Duration)) (oracle.RunResult, error) {
	var none oracle.RunResult
	input, err := json.Marshal(j)
	if err != nil {
		return none, fmt.Errorf("encode the job: %w", err)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", collect(nodes))
	cmd.Stdin = bytes.NewReader(input)
	var complaints bytes.Buffer
	cmd.Stderr = &limitedWriter{w: &complaints, left: 64 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return none, fmt.Errorf("seed %d: %w", j.Seed, err)
	}
	if err := cmd.Start(); err != nil {
		return none, fmt.Errorf("seed %d: cannot start its process: %w", j.Seed, err)
	}
	result, readErr := listen(out, passed)
	_, _ = io.Copy(io.Discard, out)
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return none, context.Cause(ctx)
	case result != nil:
		return *result, nil
	case waitErr != nil:
		return none, fmt.Errorf("seed %d: its process ended early: %w\n%s", j.Seed, waitErr, strings.TrimSpace(complaints.String()))
	}
	return none, fmt.Errorf("seed %d: %w", j.Seed, readErr)
}

// maxNews bounds one line of a child: a result of a large run.
const maxNews = 256 << 20

func listen(out io.Reader, passed func(time.Duration)) (*oracle.RunResult, error) {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 64<<10), maxNews)
	for lines.Scan() {
		var n news
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			return nil, fmt.Errorf("its process wrote something else than news: %w", err)
		}
		switch {
		case n.Error != "":
			return nil, errors.New(n.Error)
		case n.Result != nil:
			return n.Result, nil
		case passed != nil:
			passed(time.Duration(n.Passed * float64(time.Second)))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading from its process: %w", err)
	}
	return nil, errors.New("its process ended without a result")
}

// limitedWriter keeps the beginning of what is written.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
