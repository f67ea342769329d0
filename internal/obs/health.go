package obs

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Health is the state of one dependency of a program: a broker, a database,
// another part.
type Health struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	// Since is when Up last changed, or when the dependency was registered.
	Since time.Time `json:"since"`
	// Reason says why it is down, or what is remarkable while it is up; it may
	// change without Since. Never a secret: pages show it.
	Reason string `json:"reason,omitempty"`
	// Informs says that the program can do its work without it.
	Informs bool `json:"informs,omitempty"`
}

// Registry holds the health of a program's dependencies. Its methods may be
// called concurrently; it answers with copies.
type Registry struct {
	mu sync.Mutex
	// mu guards everything that follows.
	all map[string]Health
}

// NewRegistry returns a registry in which each name is down because it is
// still "starting".
func NewRegistry(names ...string) *Registry {
	r := &Registry{all: make(map[string]Health, len(names))}
	for _, name := range names {
		r.set(name, false, "starting", false)
	}
	return r
}

// Up says that the dependency works. Repeated, it changes nothing.
func (r *Registry) Up(name string) { r.set(name, true, "", false) }

// Down says that the dependency does not work, and why. Repeated, it changes
// the reason only. An unknown name is added.
func (r *Registry) Down(name, reason string) { r.set(name, false, reason, false) }

// Judge says of a dependency whether it works, and why not; while it works the
// reason is dropped.
func (r *Registry) Judge(name string, up bool, reason string) { r.set(name, up, reason, false) }

// Note is Judge of something that only informs.
func (r *Registry) Note(name string, up bool, reason string) { r.set(name, up, reason, true) }

// Put takes over what its owner knows, since when among it.
func (r *Registry) Put(h Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[h.Name] = h
}

func (r *Registry) set(name string, up bool, reason string, informs bool) {
	if up {
		reason = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.all[name]
	if !known || h.Up != up {
		h.Since = time.Now()
	}
	h.Name, h.Up, h.Reason, h.Informs = name, up, reason, informs
	r.all[name] = h
}

// Get returns the health of one dependency, and whether it is known.
func (r *Registry) Get(name string) (Health, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.all[name]
	return h, known
}

// All returns the health of all dependencies, sorted by name.
func (r *Registry) All() []Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Health, 0, len(r.all))
	for _, name := range slices.Sorted(maps.Keys(r.all)) {
		all = append(all, r.all[name])
	}
	return all
}

// Ready reports whether all dependencies that count are up. It informs; nothing
// waits for it to start.
func (r *Registry) Ready() bool {
	return !slices.ContainsFunc(r.All(), func(h Health) bool { return !h.Up && !h.Informs })
}
