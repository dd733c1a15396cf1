package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"heartbeat/gossip"
)

func (s *Server) getMembers(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r.URL.RawQuery, "state", "name", "tag")
	if err != nil {
		return err
	}
	filter, err := readFilter(q)
	if err != nil {
		return err
	}
	view := s.cfg.Node.View()
	out := Members{
		Node: view.Self().Name, Condition: view.Condition().String(), ViewVersion: view.Version(), At: view.At().UTC(),
		Total: view.Len(), Members: make([]Member, 0, view.Len()),
	}
	for m := range view.All() {
		if filter.match(m) {
			out.Members = append(out.Members, s.fullMember(m))
		}
	}
	WriteJSON(w, out)
	return nil
}

func (s *Server) getMember(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	view := s.cfg.Node.View()
	name := r.PathValue("name")
	m, ok := view.Member(name)
	if !ok {
		return fmt.Errorf("%w: %.128q", gossip.ErrNoSuchMember, name)
	}
	WriteJSON(w, MemberAnswer{
		Node: view.Self().Name, Condition: view.Condition().String(), ViewVersion: view.Version(), At: view.At().UTC(),
		Member: s.fullMember(m),
	})
	return nil
}

func (s *Server) getInfo(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	info := toInfo(s.cfg.Node.Info(), s.now())
	info.Version = s.cfg.Version
	info.Ready, info.ReadyReason = s.ready()
	WriteJSON(w, info)
	return nil
}

func (s *Server) getJournal(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r.URL.RawQuery, "member")
	if err != nil {
		return err
	}
	name := q.Get("member")
	view := s.cfg.Node.View()
	entries := s.cfg.Node.Journal(name)
	if _, known := view.Member(name); name != "" && !known && len(entries) == 0 {
		return fmt.Errorf("%w: %.128q, now or in the journal", gossip.ErrNoSuchMember, name)
	}
	out := Journal{Node: view.Self().Name, Condition: view.Condition().String(), Entries: make([]JournalEntry, len(entries))}
	for i, e := range entries {
		out.Entries[i] = toEntry(e)
	}
	WriteJSON(w, out)
	return nil
}

func (s *Server) postJoin(w http.ResponseWriter, r *http.Request) error {
	var req JoinRequest
	if err := readBody(r, &req); err != nil {
		return err
	}
	if len(req.Seeds) == 0 || len(req.Seeds) > maxSeeds {
		return badRequest(fmt.Sprintf("%d seeds are given", len(req.Seeds)), fmt.Sprintf("give 1 to %d addresses", maxSeeds))
	}
	if err := TakeTime(w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxSlowRequest)
	defer cancel()
	result, err := s.cfg.Node.Join(ctx, req.Seeds)
	if err != nil {
		return joinProblem(result, err)
	}
	joined := result.Joined
	if joined == nil {
		joined = []string{}
	}
	WriteJSON(w, JoinAnswer{Joined: joined, Failed: toFailures(result.Failed)})
	return nil
}

// joinProblem says why no seed answered; what concerns the node itself is not
// the seeds' fault.
func joinProblem(result gossip.JoinResult, err error) error {
	for _, other := range []error{gossip.ErrLeft, gossip.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, other) && len(result.Failed) == 0 {
			return err
		}
	}
	p := newProblem(http.StatusBadGateway, ProblemJoinFailed, strings.ReplaceAll(err.Error(), "\n", "; "),
		"check that agents run there, that UDP and TCP reach them, and that cluster name and keys are theirs")
	p.Failed = toFailures(result.Failed)
	return p
}

// postLeave lets the node leave even when the client goes away meanwhile: half
// a leave would be a failure to the others.
func (s *Server) postLeave(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength != 0 {
		if err := readBody(r, &struct{}{}); err != nil {
			return err
		}
	}
	if err := TakeTime(w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxSlowRequest)
	defer cancel()
	err := s.cfg.Node.Leave(ctx)
	if s.cfg.Node.Info().Left && s.cfg.OnLeave != nil {
		defer s.leaving.Do(s.cfg.OnLeave) // after the answer; the end of Serve waits until that is out
	}
	switch {
	case err == nil:
		WriteJSON(w, LeaveAnswer{Left: true})
		return nil
	case errors.Is(err, gossip.ErrClosed):
		return err
	}
	return newProblem(http.StatusGatewayTimeout, ProblemTimeout, err.Error(), "the agent ends all the same; force the member out on another node if it shows as failed")
}

func (s *Server) postForceLeave(w http.ResponseWriter, r *http.Request) error {
	var req ForceLeaveRequest
	if err := readBody(r, &req); err != nil {
		return err
	}
	if req.Name == "" {
		return badRequest("the member's name is missing", `send {"name": "..."}`)
	}
	if err := TakeTime(w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxSlowRequest)
	defer cancel()
	if err := s.cfg.Node.ForceLeave(ctx, req.Name, req.Prune); err != nil {
		return err
	}
	WriteJSON(w, ForceLeaveAnswer{Name: req.Name, Pruned: req.Prune})
	return nil
}

func (s *Server) getTags(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	WriteJSON(w, Tags{Tags: toMember(s.cfg.Node.View().Self()).Tags})
	return nil
}

func (s *Server) patchTags(w http.ResponseWriter, r *http.Request) error {
	var req TagsRequest
	if err := readBody(r, &req); err != nil {
		return err
	}
	if len(req.Set) == 0 && len(req.Remove) == 0 {
		return badRequest("there is nothing to set or to remove", `send {"set": {"key": "value"}, "remove": ["key"]}`)
	}
	for _, k := range req.Remove {
		if _, both := req.Set[k]; both {
			return badRequest(fmt.Sprintf("tag %.64q is to be set and removed at once", k), "decide for one of them")
		}
	}
	if _, empty := req.Set[""]; empty {
		return badRequest("a tag without a key is not possible", "give each tag a key")
	}
	if err := TakeTime(w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxSlowRequest)
	defer cancel()
	tags, err := s.cfg.Node.UpdateTags(ctx, req.Set, req.Remove)
	switch {
	case err == nil:
		WriteJSON(w, Tags{Tags: tags})
		return nil
	case errors.Is(err, gossip.ErrClosed), errors.Is(err, gossip.ErrLeft):
		return err
	case tags == nil: // refused before anything was done
		return badRequest(err.Error(), "shorten or remove some tags")
	}
	return newProblem(http.StatusGatewayTimeout, ProblemTimeout, err.Error(), "nothing needs to be done; look at the tags on another node later")
}

func (s *Server) getKeys(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	ring := s.cfg.Node.Keyring()
	if ring == nil {
		return gossip.ErrNoKeyring
	}
	WriteJSON(w, Keys{Keys: toKeys(ring.List())})
	return nil
}

func (s *Server) postKeys(w http.ResponseWriter, r *http.Request) error {
	var req KeyRequest
	if err := readBody(r, &req); err != nil {
		return err
	}
	ring := s.cfg.Node.Keyring()
	if ring == nil {
		return gossip.ErrNoKeyring
	}
	if err := changeKeyring(ring, &req); err != nil {
		return err
	}
	s.log.Info().Str("part", "api").Str("action", req.Action).Str("key_id", req.ID).Msg("the keyring was changed")
	WriteJSON(w, Keys{ID: req.ID, Keys: toKeys(ring.List())})
	return nil
}

// changeKeyring does what is asked and sets the request's id to that of the
// key that was meant.
func changeKeyring(ring *gossip.Keyring, req *KeyRequest) error {
	var err error
	switch {
	case req.Action == keyInstall && req.Key != "" && req.ID == "":
		if _, err := gossip.ParseKey(req.Key); err != nil {
			return badRequest(err.Error(), "a key is 16, 24 or 32 random bytes, base64-encoded")
		}
		req.ID, err = ring.Install(req.Key)
	case req.Action == keyUse && validKeyID(req):
		err = ring.Use(req.ID)
	case req.Action == keyRemove && validKeyID(req):
		err = ring.Remove(req.ID)
	default:
		return badRequest("the request is not one of those for keys", "send action install with key, or use or remove with id: 16 hexadecimal digits, as the list of keys has them")
	}
	if err == nil || errors.Is(err, gossip.ErrNoSuchKey) || errors.Is(err, gossip.ErrPrimaryKey) || errors.Is(err, gossip.ErrKeyringFull) {
		return err
	}
	return newProblem(http.StatusInternalServerError, ProblemKeyring, err.Error(), "remove what stands in the way and try again")
}

// validKeyID keeps anything but a fingerprint out of answers and logs: an
// operator may have sent the key itself by mistake.
func validKeyID(req *KeyRequest) bool {
	return req.Key == "" && keyIDForm.MatchString(req.ID)
}

var keyIDForm = regexp.MustCompile(`^[0-9a-f]{16}$`)
