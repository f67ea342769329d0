// Package config loads the configuration of every program: defaults in a struct,
// over them a YAML file, over that the environment.
//
// It is strict, because a charging point must not run for a year on a default that
// its operator believes was changed: an unknown or repeated key, a wrong type, a
// duration without a unit, an alias, a second document are faults. All faults are
// reported at once, each with file, line, column, key and the expected value.
//
// # The struct
//
// A field takes part if it is exported and has a tag `yaml:"name"`. Kinds:
// text, bool, whole numbers, floats, time.Duration, types with UnmarshalText,
// lists and map[string]T of these and of structs, nested structs, and named
// types of all of them. The keys of an embedded struct stand beside those of
// the struct around it. A list or map given in the file replaces the default
// as a whole. A tag `secret:"true"` keeps a value out of messages and of Dump.
//
// If the struct has Validate(*Problems), it is called after all layers, also when
// there are faults already. Its problem with a key that has a fault is dropped.
//
// # The environment
//
// With the prefix CARGA_AGENT_, the variable CARGA_AGENT_MQTT__URL sets
// mqtt.url: two underscores go one level down. Lists of scalars are separated
// by commas; lists of structs and maps can be set in the file only. A variable
// that has the prefix and names no key is a fault, unless its name and its value
// are those by which an orchestrator announces the address of a service: a service
// carga-agent causes CARGA_AGENT_SERVICE_HOST, CARGA_AGENT_PORT=tcp://… and more.
//
// # Ownership
//
// The agent links the package, so it is small. It keeps no state, starts no
// goroutine, and its functions may be called concurrently.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/carga-ev/carga/internal/process"
)

// maxSize is the largest accepted file, in bytes.
const maxSize = 1 << 20

// Options are the layers over the defaults.
type Options struct {
	// Path names the YAML file; empty means there is none.
	Path string
	// EnvPrefix begins the names of the variables that count, such as
	// "CARGA_AGENT_"; empty means that none counts.
	EnvPrefix string
	// Environ is the environment as "NAME=value": os.Environ() in programs.
	Environ []string
	// Ignored, if set, is called with the name of each variable that has the
	// prefix and was made by an orchestrator.
	Ignored func(name string)
}

// Validator is a configuration with rules beyond types.
type Validator interface {
	// Validate adds a problem for each rule that is broken. It changes nothing.
	Validate(p *Problems)
}

// Load fills dst, a pointer to a struct with the defaults. Its error is an
// *Error with all faults; dst is then partly filled and must not be used.
func Load(dst any, o Options) error {
	root := reflect.ValueOf(dst)
	if root.Kind() != reflect.Pointer || root.IsNil() || root.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("load config into %T: want a pointer to a struct", dst)
	}
	l := &loader{file: o.Path, origins: map[string]origin{}}
	if o.Path != "" && !l.loadFile(root.Elem()) {
		return &Error{Faults: l.faults} // the values are unknown, so that Validate would report more of the same
	}
	l.environment(root.Elem(), o)
	l.unread = len(l.faults)
	if v, ok := dst.(Validator); ok {
		v.Validate(&Problems{l: l})
	}
	if len(l.faults) > 0 {
		sortFaults(l.faults)
		return &Error{Faults: l.faults}
	}
	return nil
}

// loadFile applies the file. It returns false when the file is not YAML at all.
// An empty document is valid: a file of comments means the defaults.
func (l *loader) loadFile(root reflect.Value) bool {
	data, mode, problem := readFile(l.file)
	if problem != "" {
		l.faults = append(l.faults, Fault{File: l.file, Want: problem})
		return false
	}
	if f := checkText(data); f != nil {
		f.File = l.file
		l.faults = append(l.faults, *f)
		return false
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return true // comments only: the defaults hold
	} else if err != nil {
		l.faults = append(l.faults, syntaxFault(l.file, data, err))
		return false
	}
	if err := dec.Decode(&second); err == nil {
		l.fault(&second, Fault{Want: "second document; one file holds one"})
	} else if !errors.Is(err, io.EOF) {
		l.faults = append(l.faults, syntaxFault(l.file, data, err))
		return false
	}
	l.value(doc.Content[0], root, "", false)
	if mode&0o004 != 0 {
		l.refuseOpenSecrets()
	}
	return true
}

// refuseOpenSecrets adds a fault for each secret in a world-readable file.
func (l *loader) refuseOpenSecrets() {
	for key, o := range l.origins {
		if o.secret && o.value != "" {
			f := o.fault(key)
			f.Want, f.Hint = "secret in a file that all users can read", "chmod o-r "+l.file
			l.faults = append(l.faults, f)
		}
	}
}

// readFile returns the bytes and the mode of the file, or what is wrong with it.
func readFile(path string) (data []byte, mode fs.FileMode, problem string) {
	data, mode, err := process.ReadFile(path, maxSize)
	if err != nil {
		return nil, 0, err.Error()
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, 0, "is empty, perhaps half written; a file of comments alone means the defaults"
	}
	return data, mode, ""
}

// checkText refuses text for which the parser has no clear error: bytes that are
// not UTF-8, with their line.
func checkText(data []byte) *Fault {
	line := 1
	for len(data) > 0 {
		row, rest, _ := bytes.Cut(data, []byte("\n"))
		if !utf8.Valid(row) {
			return &Fault{Line: line, Want: "is not UTF-8 here"}
		}
		data, line = rest, line+1
	}
	return nil
}

// syntaxFault converts an error of the parser. The parser names a line at most,
// and its text contains the name of an unknown alias, which may be a secret. A
// tab in the indentation is the usual cause, of which the parser does not know.
func syntaxFault(file string, data []byte, err error) Fault {
	f := Fault{File: file, Want: strings.TrimPrefix(err.Error(), "yaml: ")}
	if rest, ok := strings.CutPrefix(f.Want, "line "); ok {
		number, text, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			f.Line, f.Want = n, text
		}
	}
	if strings.Contains(f.Want, "anchor") {
		f.Want, f.Hint = "aliases are refused", "put a value that begins with * or & in quotes"
	}
	rows := bytes.Split(data, []byte("\n"))
	for i := max(f.Line-2, 0); i < min(f.Line, len(rows)); i++ {
		if indent := rows[i][:len(rows[i])-len(bytes.TrimLeft(rows[i], " \t"))]; bytes.IndexByte(indent, '\t') >= 0 {
			f.Hint = "indent with spaces, not with tabs"
		}
	}
	return f
}
