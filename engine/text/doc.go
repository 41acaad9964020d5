// Package text turns text into tokens, and tokens into the sparse vectors of
// the built-in model qdrant/bm25.
//
// Callers: engine/payloadindex tokenizes stored values and match conditions
// with an Analyzer; the coordinator embeds documents and queries with a BM25.
//
// A token goes through the same stages on both sides, in this order: split by
// the Tokenizer, fold to ASCII, lower-case, drop stop words, stem, check the
// length. Only the prefix tokenizer differs between the sides: a stored text
// gives every prefix of its words, a query gives the words themselves.
//
// Invariants:
//   - tokens are valid UTF-8 and never empty;
//   - the same Options and text give the same tokens on every machine, because
//     token ids are stored: a change to a stage is a change of format;
//   - the work is linear in the length of the text.
//
// Stop-word lists exist for the languages that ListedStopwords returns, and
// stemmers for those that Stemmers returns. See DESIGN.md for what differs from
// other implementations of the same options.
package text
