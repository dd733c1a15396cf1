package gossip_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// Two nodes of one program form a cluster: the second joins through the first.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	cfg := gossip.Local() // or LAN, WAN: see Config for what can be changed
	cfg.Name, cfg.Port = "n1", 0
	n1, err := gossip.Start(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer n1.Close()

	cfg.Name = "n2"
	cfg.Tags = map[string]string{"role": "web"}
	n2, err := gossip.Start(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer n2.Close()

	if _, err := n2.Join(ctx, []string{n1.Self().Addr.String()}); err != nil {
		log.Fatal(err)
	}
	for m := range n2.View().All() {
		fmt.Println(m.Name, m.State, m.Tags)
	}
	// Output:
	// n1 alive map[]
	// n2 alive map[role:web]
}

// A watcher gets every change of the view, in order and off every lock. One
// that reads too slowly is told how many it has lost.
func ExampleNode_Watch() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	start := func(name string) *gossip.Node {
		cfg := gossip.Local()
		cfg.Name, cfg.Port = name, 0
		n, err := gossip.Start(ctx, cfg)
		if err != nil {
			log.Fatal(err)
		}
		return n
	}
	n1, n2 := start("n1"), start("n2")
	defer n1.Close()
	defer n2.Close()

	watcher := n1.Watch(0) // from now on
	if _, err := n2.Join(ctx, []string{n1.Self().Addr.String()}); err != nil {
		log.Fatal(err)
	}
	if err := n2.Leave(ctx); err != nil {
		log.Fatal(err)
	}
	for {
		ev, err := watcher.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if ev.Lost > 0 {
			fmt.Println("events lost:", ev.Lost)
			continue
		}
		fmt.Println(ev.Change.Kind, ev.Change.Member.Name)
		if ev.Change.Kind == membership.ChangeLeft {
			return
		}
	}
	// Output:
	// joined n2
	// left n2
}

// Validate reports everything that is wrong at once.
func ExampleConfig_Validate() {
	cfg := gossip.LAN()
	cfg.Name = "two words"
	cfg.ProbeTimeout = 2 * time.Second
	fmt.Println(cfg.Validate())
	// Output:
	// node.name: "two words" holds a space, a slash or a control character
	// probe.timeout: 2s must be less than probe.interval (1s), or no time is left for indirect probes
}

// Settings can be changed by the names that the agent's file uses.
func ExampleConfig_Set() {
	cfg := gossip.LAN()
	if err := cfg.Set("probe.interval", "500ms"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.ProbeInterval)
	fmt.Println(cfg.Set("probe.intervall", "500ms"))
	// Output:
	// 500ms
	// setting "probe.intervall" is not known; did you mean "probe.interval"?
}

// Keys are named by their fingerprint; no call ever returns one.
func ExampleKeyring() {
	ring, err := gossip.NewKeyring("pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=")
	if err != nil {
		log.Fatal(err)
	}
	id, err := ring.Install("HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=")
	if err != nil {
		log.Fatal(err)
	}
	if err := ring.Use(id); err != nil {
		log.Fatal(err)
	}
	for _, k := range ring.List() {
		fmt.Println(k.ID, k.Bits, k.Primary)
	}
	// Output:
	// bf1248592c626009 256 true
	// 3cae863b7cc151c7 256 false
}
