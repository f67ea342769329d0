package schema

// node is a JSON Schema (draft 2020-12), with the keywords that our messages
// need. Zero values are omitted. Properties that are not listed stay allowed, so
// that a later version can add fields.
type node struct {
	Schema      string           `json:"$schema,omitempty"`
	ID          string           `json:"$id,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Type        any              `json:"type,omitempty"` // a type, or a list of types
	Const       any              `json:"const,omitempty"`
	Enum        []any            `json:"enum,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	MinLength   int              `json:"minLength,omitempty"`
	MaxLength   int              `json:"maxLength,omitempty"`
	Minimum     *int64           `json:"minimum,omitempty"`
	Maximum     *int64           `json:"maximum,omitempty"`
	Above       *int64           `json:"exclusiveMinimum,omitempty"`
	MinItems    int              `json:"minItems,omitempty"`
	MaxItems    int              `json:"maxItems,omitempty"`
	Items       *node            `json:"items,omitempty"`
	Required    []string         `json:"required,omitempty"`
	Properties  map[string]*node `json:"properties,omitempty"`
}

const (
	// The types of JSON Schema.
	typeString  = "string"
	typeInteger = "integer"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeObject  = "object"
	typeArray   = "array"
	typeNull    = "null"
)

// integer returns a schema of integers within a range.
func integer(least, most int64) *node {
	return &node{Type: typeInteger, Minimum: &least, Maximum: &most}
}

// atLeast returns a schema of integers without a maximum.
func atLeast(least int64) *node { return &node{Type: typeInteger, Minimum: &least} }

// text returns a schema of texts of limited length.
func text(most int) *node { return &node{Type: typeString, MaxLength: most} }

// oneOf returns a schema of a closed list.
func oneOf[T ~string](words ...T) *node {
	n := &node{Type: typeString}
	for _, w := range words {
		n.Enum = append(n.Enum, string(w))
	}
	return n
}

// orNull permits null beside the value. In a closed list, null becomes one of
// its values.
func orNull(n *node) *node {
	if word, ok := n.Type.(string); ok {
		n.Type = []string{word, typeNull}
	}
	if n.Enum != nil {
		n.Enum = append(n.Enum, nil)
	}
	return n
}
