package agent

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"heartbeat/cmd/heartbeat/internal/config"
)

// reload takes over what can change while the agent runs: the settings that the
// table marks so (log level, tags, seeds) and the content of the API's
// certificate files. Everything that can be refused is looked at first, so that
// a broken configuration leaves all as it was.
//
// The token is read at the start only, and so are the encryption keys, which
// "heartbeat keys" changes in the node and in the file alike: reading the file
// anew could undo that.
func (a *agent) reload(ctx context.Context) {
	if a.opts.Reload == nil {
		a.log.Warn().Msg("SIGHUP: this agent has no configuration to read anew")
		return
	}
	a.notify.reloading()
	defer func() { a.notify.ready(statusOf(a.node.View())) }()
	next, err := a.opts.Reload()
	if err != nil {
		a.log.Error().Strs("problems", strings.Split(err.Error(), "\n")).Msg("the configuration is refused: everything stays as it was")
		return
	}
	var sec secrets
	if a.api != nil && a.api.certs.Load() != nil {
		if sec, err = loadSecrets(a.settings); err != nil {
			a.log.Error().Err(err).Msg("the API's files are refused: everything stays as it was")
			return
		}
	}

	var taken, restart []string
	for _, d := range a.settings.Changed(next) {
		if !d.Reload {
			restart = append(restart, d.Key)
			continue
		}
		if a.takeOver(ctx, d.Key, next) {
			taken = append(taken, d.Key)
		}
	}
	if sec.tls != nil {
		a.api.certs.Store(sec.tls)
		taken = append(taken, "the API's certificate")
	}
	line := a.log.Info().Strs("taken_over", taken)
	if len(restart) > 0 {
		line = a.log.Warn().Strs("taken_over", taken).Strs("need_a_restart", restart)
	}
	line.Msg("the configuration was read anew")
}

// takeOver brings one setting of next into effect and reports whether it could.
func (a *agent) takeOver(ctx context.Context, key string, next *config.Settings) bool {
	now := *a.settings
	switch key {
	case "log.level":
		level, err := zerolog.ParseLevel(next.Log.Level)
		if err != nil {
			a.log.Error().Err(err).Msg("the log level stays as it was")
			return false
		}
		a.hub.SetLevel(level)
		now.Log.Level = next.Log.Level
	case "node.tags":
		if !a.changeTags(ctx, now.Gossip.Tags, next.Gossip.Tags) {
			return false
		}
		now.Gossip.Tags = next.Gossip.Tags
	case "cluster.seeds":
		a.join(ctx, next.Seeds)
		now.Seeds = next.Seeds
	}
	a.settings = &now
	return true
}

// changeTags applies what differs between two configurations, so that tags which
// were set through the API meanwhile stay.
func (a *agent) changeTags(ctx context.Context, before, after map[string]string) bool {
	set := maps.Clone(after)
	maps.DeleteFunc(set, func(k, v string) bool { old, had := before[k]; return had && old == v })
	var remove []string
	for k := range before {
		if _, stays := after[k]; !stays {
			remove = append(remove, k)
		}
	}
	slices.Sort(remove)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tags, err := a.node.UpdateTags(ctx, set, remove)
	if err != nil {
		a.log.Warn().Err(err).Msg("changing the tags")
	}
	return tags != nil // set here, though perhaps not confirmed by others
}
