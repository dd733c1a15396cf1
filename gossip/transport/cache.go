package transport

// cache is a map of bounded size for values that are cheap to make again. It holds two generations: when the young
// one is full it becomes the old one, and what is not asked for during a whole generation is forgotten. So a flood of
// forged addresses costs at most 2*size entries, and those in steady use survive it. Not safe for concurrent use.
type cache[K comparable, V any] struct {
	size       int
	young, old map[K]V
}

func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{size: size, young: make(map[K]V)}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	if v, ok := c.young[k]; ok {
		return v, true
	}
	v, ok := c.old[k]
	if ok {
		c.put(k, v)
	}
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	if len(c.young) >= c.size {
		c.young, c.old = make(map[K]V), c.young
	}
	c.young[k] = v
}

func (c *cache[K, V]) len() int { return len(c.young) + len(c.old) }
