package health

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Status is the state of one dependency of a program: a broker, a database,
// another part of the network. /livez and /readyz show it as JSON.
type Status struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	// Since is when Up last changed, or when the dependency was registered.
	Since time.Time `json:"since"`
	// Reason is why the dependency is down, or what is remarkable while it is up.
	// It may change while Since stays. It never contains a secret: pages show it.
	Reason string `json:"reason,omitempty"`
	// Informational means that the program can do its work without the
	// dependency, so that readiness does not depend on it.
	Informational bool `json:"informs,omitempty"`
}

// Registry holds the status of a program's dependencies. Its methods may be
// called concurrently. What they return is a copy.
type Registry struct {
	mu sync.Mutex
	// mu guards everything that follows.
	all map[string]Status
}

// NewRegistry returns a registry in which each name is down with the reason
// "starting".
func NewRegistry(names ...string) *Registry {
	r := &Registry{all: make(map[string]Status, len(names))}
	for _, name := range names {
		r.set(name, false, "starting", false)
	}
	return r
}

// Up reports that the dependency works. A repeated call changes nothing.
func (r *Registry) Up(name string) { r.set(name, true, "", false) }

// Down reports that the dependency does not work, and why. A repeated call
// changes the reason only. An unknown name is added.
func (r *Registry) Down(name, reason string) { r.set(name, false, reason, false) }

// Set is Up or Down. The reason is dropped while the dependency is up.
func (r *Registry) Set(name string, up bool, reason string) { r.set(name, up, reason, false) }

// SetInformational is Set for a dependency on which readiness does not depend.
func (r *Registry) SetInformational(name string, up bool, reason string) {
	r.set(name, up, reason, true)
}

// Put stores a status as its owner keeps it, including Since.
func (r *Registry) Put(h Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[h.Name] = h
}

func (r *Registry) set(name string, up bool, reason string, informational bool) {
	if up {
		reason = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.all[name]
	if !known || h.Up != up {
		h.Since = time.Now()
	}
	h.Name, h.Up, h.Reason, h.Informational = name, up, reason, informational
	r.all[name] = h
}

// Get returns the status of one dependency, and whether it is known.
func (r *Registry) Get(name string) (Status, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.all[name]
	return h, known
}

// All returns the status of all dependencies, sorted by name.
func (r *Registry) All() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, 0, len(r.all))
	for _, name := range slices.Sorted(maps.Keys(r.all)) {
		all = append(all, r.all[name])
	}
	return all
}

// Ready reports whether all dependencies that are not informational are up. It
// is for operators and load balancers: no part of Carga waits for another one
// to be ready.
func (r *Registry) Ready() bool {
	return !slices.ContainsFunc(r.All(), func(h Status) bool { return !h.Up && !h.Informational })
}
