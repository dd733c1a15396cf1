package scenario

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// shortNames are the overrides that need not be written with their place in the file.
var shortNames = map[string]string{
	"nodes":      "cluster.nodes",
	"profile":    "cluster.profile",
	"detector":   "cluster.detector",
	"encryption": "cluster.encryption",
	"loss":       "network.loss",
}

// Set overrides one value: a key of cluster or network with its place in the file (network.loss,
// cluster.join.within), seeds, duration, one of the short names nodes, profile, detector, encryption and loss,
// or any setting of the nodes (probe.interval). The value is written as in a file.
//
// Set checks the value by itself. Whether it goes with the rest, such as fewer nodes with a timeline that
// names n9, is for [Scenario.Validate] to say after the last override. After an error the scenario is unchanged.
func (s *Scenario) Set(key, value string) error {
	origin := fmt.Sprintf("--set %s=%s", key, value)
	path := key
	if long, ok := shortNames[key]; ok {
		path = long
	}
	changed := *s
	changed.Cluster.Settings = maps.Clone(s.Cluster.Settings)
	changed.pos = maps.Clone(s.pos)
	if changed.pos == nil {
		changed.pos = positions{}
	}
	target, ok := lookup(reflect.ValueOf(&changed).Elem(), path)
	if !ok {
		return s.setSetting(origin, key, value)
	}
	// The value has positions of its own, which must not be taken for places in the file.
	p := &problems{source: origin, pos: positions{}}
	if root := parseYAML([]byte(value), p); root != nil {
		d := &decoder{problems: p}
		d.value(path, root, target)
	}
	if len(p.list) > 0 {
		return fmt.Errorf("%s: %s", origin, strings.TrimPrefix(p.list[0].Message, path+": "))
	}
	maps.DeleteFunc(changed.pos, func(place string, _ position) bool { return inside(place, path) })
	changed.pos[path] = position{source: origin}
	*s = changed
	return nil
}

// lookup returns the field that a place such as network.loss names. Timelines and expectations are no places
// for overrides: they belong together.
func lookup(v reflect.Value, path string) (reflect.Value, bool) {
	name, rest, more := strings.Cut(path, ".")
	fields := fieldsOf(v.Type())
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return v, false
	}
	found := v.Field(fields[i].index)
	switch found.Kind() {
	case reflect.Struct:
		if more {
			return lookup(found, rest)
		}
		return v, false
	case reflect.Slice:
		_, ok := found.Addr().Interface().(*Seeds)
		return found, ok && !more
	case reflect.Map:
		return v, false
	}
	settable := name != "version" && name != "name" && name != "description"
	return found, settable && !more
}

// setSetting overrides a setting of the nodes.
func (s *Scenario) setSetting(origin, key, value string) error {
	key = strings.TrimPrefix(key, "cluster.settings.")
	if s.check.setting == nil {
		return fmt.Errorf("%s: there is no such key: give one of %s, or a place such as network.latency",
			origin, strings.Join(slices.Sorted(maps.Keys(shortNames)), ", "))
	}
	if err := s.check.setting(key, value); err != nil {
		return fmt.Errorf("%s: %w", origin, err)
	}
	settings := maps.Clone(s.Cluster.Settings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings[key] = value
	s.Cluster.Settings = settings
	return nil
}
