package schema

// node is a JSON Schema, as far as our messages need it.
type node struct {
	Schema      string           `json:"$schema,omitempty"`
	ID          string           `json:"$id,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Type        any              `json:"type,omitempty"` // a word, or several
	Const       any              `json:"const,omitempty"`
	Enum        []any            `json:"enum,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	MinLength   int              `json:"minLength,omitempty"`
	MaxLength   int              `json:"maxLength,omitempty"`
	Minimum     *int64           `json:"minimum,omitempty"`
	Maximum     *int64           `json:"maximum,omitempty"`
	MinItems    int              `json:"minItems,omitempty"`
	MaxItems    int              `json:"maxItems,omitempty"`
	Items       *node            `json:"items,omitempty"`
	Required    []string         `json:"required,omitempty"`
	Properties  map[string]*node `json:"properties,omitempty"`
}

const (
	typeString  = "string"
	typeInteger = "integer"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeObject  = "object"
	typeArray   = "array"
	typeNull    = "null"
)

func integer(least, most int64) *node {
	return &node{Type: typeInteger, Minimum: &least, Maximum: &most}
}

// atLeast is a number without a greatest.
func atLeast(least int64) *node { return &node{Type: typeInteger, Minimum: &least} }

func text(most int) *node { return &node{Type: typeString, MaxLength: most} }

func oneOf[T ~string](words ...T) *node {
	n := &node{Type: typeString}
	for _, w := range words {
		n.Enum = append(n.Enum, string(w))
	}
	return n
}

// orNull lets a value be null.
func orNull(n *node) *node {
	if word, ok := n.Type.(string); ok {
		n.Type = []string{word, typeNull}
	}
	if n.Enum != nil {
		n.Enum = append(n.Enum, nil)
	}
	return n
}
