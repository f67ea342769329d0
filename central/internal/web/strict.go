package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/carga-ev/carga/internal/wire"
)

// strictFormats decodes bodies as strictly as messages on Kafka. encoding/json
// alone uses the last of repeated keys and replaces bytes that are not UTF-8, so
// that what is executed could differ from what the client meant.
func strictFormats() map[string]huma.Format {
	// The library decodes a body twice: once for validation, once into the input.
	formats := maps.Clone(huma.DefaultFormats)
	for name, f := range formats {
		f.Unmarshal = func(data []byte, v any) error {
			if _, generic := v.(*any); generic { // the library first decodes the body for validation by its schema
				if err := wire.Check(data); err != nil {
					return err
				}
				if err := json.Unmarshal(data, v); err != nil {
					return err
				}
				return noNulls(*v.(*any))
			}
			err := json.Unmarshal(data, v)
			if form, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
				return fmt.Errorf("field %s: is not of the form expected; write numbers without fraction and exponent", form.Field)
			}
			return err
		}
		formats[name] = f
	}
	return formats
}

// noNulls refuses a field that is null: it could mean "none" or "all".
func noNulls(body any) error {
	fields, _ := body.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] == nil {
			return fmt.Errorf("field %.100s: is null; leave it out", name)
		}
	}
	return nil
}
