package cli

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"heartbeat/gossip/httpapi"
)

const (
	// watchSettle lets the events of one moment share a redraw.
	watchSettle = 100 * time.Millisecond
	// watchTick moves the ages on; it also bounds how long a change that fell
	// between the first answer and the start of the stream stays unseen.
	watchTick = time.Second
	// watchBacklog is how many events a watch asks for from before its start,
	// so that none is missed between the first answer and the stream.
	watchBacklog = 256
)

func (a *app) watchMembers(ctx context.Context, api *httpapi.Client, filter httpapi.Filter, format string) error {
	if a.stdout.tty && os.Getenv("TERM") != "dumb" && format != formatJSONL {
		return stopped(ctx, a.redrawMembers(ctx, api, filter, format == formatWide))
	}
	return stopped(ctx, a.appendMembers(ctx, api, filter, format))
}

// redrawMembers keeps the terminal showing the current view.
func (a *app) redrawMembers(ctx context.Context, api *httpapi.Client, filter httpapi.Filter, wide bool) error {
	streamCtx, cancel := context.WithCancel(ctx)
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- api.Events(streamCtx, httpapi.EventOptions{}, func(httpapi.Event) error {
			select {
			case changed <- struct{}{}:
			default: // one wake-up is enough for any number of events
			}
			return nil
		})
	}()
	defer func() {
		cancel()
		for range ended { // wait for the stream; the channel is closed at its end
		}
	}()
	if err := a.print(ansi.EraseEntireScreen); err != nil {
		return err
	}
	for {
		view, err := api.Members(ctx, filter)
		if err != nil {
			return err
		}
		if err := a.print(a.frame(view, wide)); err != nil {
			return err
		}
		select {
		case <-changed:
			if err := sleep(ctx, watchSettle); err != nil {
				return err
			}
		case <-time.After(watchTick):
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// frame is one picture of the view, cut to the size of the terminal: a line
// that wrapped would break the next redraw.
func (a *app) frame(view *httpapi.Members, wide bool) string {
	width, height := a.stdout.size()
	lines := membersTable(a.stdout, view, wide, view.At).lines()
	if room := max(height-2, 2); len(lines) > room { // title above, cursor below
		most := room - 1
		lines = append(lines[:most], fmt.Sprintf("... and %s more: filter them, or use a larger window", plural(len(view.Members)-most+1, "member")))
	}
	title := fmt.Sprintf("%s (%s) at %s: %d of %s, Ctrl-C ends", clean(view.Node), view.Condition,
		view.At.Local().Format(time.TimeOnly), len(view.Members), plural(view.Total, "member"))
	var b strings.Builder
	b.WriteString(ansi.CursorHomePosition)
	for i, line := range append([]string{title}, lines...) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(ansi.Truncate(line, width-1, "…") + ansi.EraseLineRight)
	}
	b.WriteString(ansi.EraseScreenBelow + "\r\n")
	return b.String()
}

// appendMembers prints the view and then a line for each member that changes.
// A member that no longer passes the filter gets one last line.
func (a *app) appendMembers(ctx context.Context, api *httpapi.Client, filter httpapi.Filter, format string) error {
	view, err := api.Members(ctx, filter)
	if err != nil {
		return err
	}
	if err := a.printMembers(view, format); err != nil {
		return err
	}
	a.noteCondition(ctx, api, view.Node, view.Condition)
	wide := format == formatWide
	columns := membersTable(a.stdout, view, wide, view.At)
	shown := membersByName(view)
	start := view.At
	return api.Events(ctx, httpapi.EventOptions{Backlog: watchBacklog}, func(ev httpapi.Event) error {
		if ev.Member == nil || !ev.At.After(start) {
			return nil
		}
		now, err := api.Members(ctx, filter)
		if err != nil {
			return err
		}
		current := membersByName(now)
		name := ev.Member.Name
		before, wasShown := shown[name]
		m, passes := current[name]
		if !passes {
			m = *ev.Member
		}
		if passes == wasShown && (!passes || sameMember(before, m)) {
			return nil
		}
		if passes {
			shown[name] = m
		} else {
			delete(shown, name)
		}
		if format == formatJSONL {
			return a.jsonLine(m)
		}
		row := memberRow(m, wide, now.At)
		columns.fit(row)
		return a.print(columns.line(row) + "\n")
	})
}

func membersByName(view *httpapi.Members) map[string]httpapi.Member {
	byName := make(map[string]httpapi.Member, len(view.Members))
	for _, m := range view.Members {
		byName[m.Name] = m
	}
	return byName
}

// sameMember compares what a change can be about; the round trip is none.
func sameMember(x, y httpapi.Member) bool {
	x.RTTMS, y.RTTMS = nil, nil
	return reflect.DeepEqual(x, y)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
