// Package text has what a written message passes through: the prompts that ask a language model for it, the gate
// that every text must pass, and the merge fields that make it personal. It reads template files at start; all
// else is pure: the same input gives the same answer.
//
// It promises three things.
//
// What others wrote is data. A brief and a recipient's fields reach the model only as strings within one JSON
// object ([Template.Prompt]); the system message is the same, byte for byte, whatever they say.
//
// Nothing unfit gets out. [Gate.Check] refuses a text with a link to a host that is not allowed, a placeholder
// that nobody fills, hidden or direction-changing characters, the canary or a stretch of the instructions. It
// trusts neither the model nor its provider, takes time in proportion to the text, and looks at no more than
// [MaxBytes] of it. Where a rule has to choose, it refuses: a refused text is written again, a sent one is not
// called back. [Gate.CheckMerged] looks once more when the fields are filled.
//
// Nothing private is told. A [Violation] is one of a closed list of words and an error names a field, a file or
// a remedy; neither ever holds a part of a text or a value.
package text
