package sidecar

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"heartbeat/gossip/httpapi"
)

// maxLease bounds the time for which one request takes the lease: whoever holds
// it longer renews it.
const maxLease = 5 * time.Minute

// lease says who alone may change something now. It keeps two runs on one
// cluster from disturbing each other; it protects from mistakes, not from
// malice, since whoever has the token can name any holder.
type lease struct {
	mu     sync.Mutex
	holder string // "" when nobody ever held it; guarded by mu, like the rest
	since  time.Time
	until  time.Time
}

// take gives or renews the lease, or ends it when the time to live is 0.
func (l *lease) take(req LeaseRequest) error {
	switch {
	case req.Holder == "" || len(req.Holder) > 64 || strings.Trim(req.Holder, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "":
		return httpapi.BadRequest(fmt.Sprintf("%.64q cannot hold the lease", req.Holder), "give 1 to 64 letters, digits, dots and dashes as holder")
	case req.TTL < 0 || req.TTL > maxLease:
		return httpapi.BadRequest(fmt.Sprintf("a lease of %v is not possible", req.TTL), fmt.Sprintf("give at most %v, or 0 to end it", maxLease))
	}
	if err := l.permit(req.Holder); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.holder != req.Holder || !now.Before(l.until) {
		l.holder, l.since = req.Holder, now
	}
	l.until = now.Add(req.TTL)
	return nil
}

// permit refuses all but the holder while the lease lasts.
func (l *lease) permit(holder string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == holder || !time.Now().Before(l.until) {
		return nil
	}
	return httpapi.NewProblem(http.StatusConflict, ProblemLease, "somebody else holds the lease",
		fmt.Sprintf("%s holds it since %s", l.holder, l.since.UTC().Format(time.RFC3339)),
		"wait until it ends; a holder that was killed loses it by itself")
}
