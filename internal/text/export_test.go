package text

// ParseTemplate reads a template without a file, for the fuzzer.
var ParseTemplate = parseTemplate
