// Package providersim is Azure OpenAI and OpenAI without a model: it speaks both of Azure's surfaces and OpenAI's,
// answers by a hash of what it is asked, and fails in every way that was recorded of the real ones. Tests,
// `huntaze provider-sim` and `huntaze dev` use it.
//
// It promises that the same request gets the same answer, that an answer without a fault keeps to the schema it was
// asked for, and that prompts are kept nowhere unless [Options.KeepPrompts] says so. It shares no code with package
// provider, which it tests.
//
//	POST /v1/chat/completions, GET /v1/models, GET /v1/models/{model}          OpenAI
//	POST /openai/v1/chat/completions, GET /openai/v1/models                     Azure, v1
//	POST /openai/deployments/{deployment}/chat/completions?api-version=…,
//	GET  /openai/models?api-version=…                                           Azure, classic
//
// These want the key, if one is set; /sim/ is open:
//
//	GET    /sim/state                     [State]: the faults as they stand, and counts
//	PUT    /sim/faults                    {"azure": [Script], "openai": …}; replaces those of the providers it names
//	DELETE /sim/faults?provider=azure     no more faults; without a provider, of both
//	GET    /sim/requests?after=SEQ        [Call], oldest first (&limit=N, 1000)
//	GET    /sim/fixtures                  the names that a fault can have
package providersim
