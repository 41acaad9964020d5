// Package payload holds JSON values the way the engine keeps them: one compact
// binary form that preserves key order and the difference between integers and
// floats, and from which a path can be projected without decoding the rest.
//
// The doors convert JSON text or message maps into an Object once; the log, the
// document store and the payload indexes handle the binary form only.
package payload

// Object is a JSON object in binary form (docs/format/payload.md). nil and the
// empty slice both are the object without keys. Objects are immutable; readers
// of an Object may share its memory.
type Object []byte
