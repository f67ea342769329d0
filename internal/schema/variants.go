package schema

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Variant is the example of a message with one value removed or replaced. Tests
// decode it and validate it by the schema, and compare the two answers.
type Variant struct {
	Path string // as in data.connectors.0.status
	Raw  []byte
}

// visit calls fn for each value of the example that has a schema, with its path,
// from the outside to the inside. Of a list it visits the first element.
func (m *Message) visit(fn func(path []string, n *node, value any) error) error {
	var root any
	if err := json.Unmarshal(m.Example, &root); err != nil {
		return err
	}
	var walk func(path []string, n *node, v any) error
	walk = func(path []string, n *node, v any) error {
		if len(path) > 0 {
			if err := fn(path, n, v); err != nil {
				return err
			}
		}
		switch v := v.(type) {
		case map[string]any:
			for key, p := range n.Properties {
				if sub, ok := v[key]; ok {
					if err := walk(append(slices.Clone(path), key), p, sub); err != nil {
						return err
					}
				}
			}
		case []any:
			// One element is enough: all have the same schema.
			if len(v) > 0 && n.Items != nil {
				return walk(append(slices.Clone(path), "0"), n.Items, v[0])
			}
		}
		return nil
	}
	return walk(nil, m.root, root)
}

// with returns the example with the value at path changed by fn. fn returns the
// new value, and whether the value remains.
func (m *Message) with(path []string, fn func(any) (any, bool)) (Variant, error) {
	var root any
	if err := json.Unmarshal(m.Example, &root); err != nil {
		return Variant{}, err
	}
	// Find the object or list that contains the value.
	at := root
	for _, key := range path[:len(path)-1] {
		at = child(at, key)
	}
	last := path[len(path)-1]
	v, there := fn(child(at, last))
	switch holder := at.(type) {
	case map[string]any:
		if there {
			holder[last] = v
		} else {
			delete(holder, last)
		}
	case []any:
		if i, err := strconv.Atoi(last); err == nil && there {
			holder[i] = v
		}
	}
	raw, err := json.Marshal(root)
	if err != nil {
		return Variant{}, fmt.Errorf("vary the example: %w", err)
	}
	return Variant{Path: joined(path), Raw: raw}, nil
}

// joined returns a path as text.
func joined(path []string) (s string) {
	for i, p := range path {
		if i > 0 {
			s += "."
		}
		s += p
	}
	return s
}

// child returns the value of a key or an index.
func child(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[key]
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// findRequired removes each field from the example: if the decoder then refuses
// the message, the field is required. So the schema follows the decoder, and no
// second list of required fields has to be kept.
func (m *Message) findRequired() error {
	return m.visit(func(path []string, _ *node, _ any) error {
		without, err := m.with(path, func(any) (any, bool) { return nil, false })
		if err != nil || m.Decode(without.Raw) == nil {
			return err
		}
		if holder, key := m.holder(path); key != "" && !slices.Contains(holder.Required, key) {
			holder.Required = append(holder.Required, key)
			slices.Sort(holder.Required)
		}
		return nil
	})
}

// holder returns the schema of the object that contains the end of a path, and
// the last key; "" for an element of a list.
func (m *Message) holder(path []string) (n *node, key string) {
	n = m.root
	for _, p := range path[:len(path)-1] {
		if n.Items != nil {
			n = n.Items
		} else {
			n = n.Properties[p]
		}
	}
	if n.Items != nil {
		return n, ""
	}
	return n, path[len(path)-1]
}

// Limits returns variants of the example at and beyond each limit of the schema,
// and without each field.
func (m *Message) Limits() ([]Variant, error) {
	var all []Variant
	err := m.visit(func(path []string, n *node, _ any) error {
		without, err := m.with(path, func(any) (any, bool) { return nil, false })
		if err != nil {
			return err
		}
		all = append(all, without)
		for _, v := range values(n) {
			changed, err := m.with(path, func(any) (any, bool) { return v, true })
			if err != nil {
				return err
			}
			changed.Path += "=" + cut(fmt.Sprint(v))
			all = append(all, changed)
		}
		return nil
	})
	return all, err
}

// values returns values at and beyond the limits of a schema, and values of
// other types: each limit with its neighbour, texts that are just too long,
// words that are not in the list.
func values(n *node) []any {
	all := []any{json.RawMessage(`{"of":"another type"}`), []any{true}}
	if n.Minimum != nil {
		all = append(all, *n.Minimum, *n.Minimum-1)
	}
	if n.Above != nil {
		all = append(all, *n.Above, *n.Above+1)
	}
	if n.Maximum != nil {
		all = append(all, *n.Maximum, *n.Maximum+1)
	}
	// The longest text, and one that is too long.
	if n.MaxLength > 0 {
		all = append(all, long(n.MaxLength), long(n.MaxLength+1))
	}
	// Texts that match one of the patterns, or just do not.
	if n.Pattern != "" {
		all = append(all, "a b", "x\u0001", long(37), "1969-12-31T23:59:59.000Z", "2026-02-28T00:00:00Z", "2026-02-28T00:00:00+01:00")
	}
	// Each word of a closed list, and one that is not in it.
	for _, e := range n.Enum {
		if e != nil {
			all = append(all, e, fmt.Sprint(e)+"_not")
		}
	}
	if word, ok := n.Type.(string); ok && word == typeBoolean {
		all = append(all, "true", true)
	}
	return all
}

// cut shortens a value for the name of a variant.
func cut(s string) string { return s[:min(len(s), 40)] }

// long returns a text of n bytes.
func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}
