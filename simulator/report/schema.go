package report

import (
	_ "embed"
	"slices"
)

// schemaFile is generated from the types and their comments; a test keeps it,
// and its copy in docs, in step with them.
//
//go:embed result.schema.json
var schemaFile []byte

// Schema returns the JSON Schema (draft 2020-12) of result.json.
func Schema() []byte { return slices.Clone(schemaFile) }
