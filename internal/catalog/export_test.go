package catalog

// BySchemaSQL is for tests that look at its plan.
const BySchemaSQL = bySchemaSQL
