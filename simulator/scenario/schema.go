package scenario

import (
	_ "embed"
	"slices"
)

// schemaFile is generated from the types and their comments; a test keeps it in step with them.
//
//go:embed schema.json
var schemaFile []byte

// Schema returns the JSON Schema (draft 2020-12) of a scenario file, for editors. It describes the structure.
// What values mean together, such as whether a node exists, only [Parse] can tell.
func Schema() []byte { return slices.Clone(schemaFile) }
