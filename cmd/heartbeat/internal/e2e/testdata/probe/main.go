// Command probe makes HTTP requests from inside a container that has no other
// program: a list as JSON on standard input, the outcomes as JSON on standard
// output.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

type request struct{ Method, URL, Token string }

type outcome struct {
	Status int
	Error  string
}

func main() {
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(2)
	}
	outcomes := make([]outcome, len(requests))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() { outcomes[i] = r.send() })
	}
	all.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		os.Exit(2)
	}
}

func (r request) send() outcome {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader("{}"))
	if err != nil {
		return outcome{Error: err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	_ = resp.Body.Close()
	return outcome{Status: resp.StatusCode}
}
