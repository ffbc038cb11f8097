package provider

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// readObject returns a body as a JSON object. gjson reads what is asked for in one pass and takes a field of another
// type for none, which is what bodies from anywhere need; but it does not check, and so the standard library does first.
func readObject(body []byte) (gjson.Result, bool) {
	if !json.Valid(body) {
		return gjson.Result{}, false
	}
	root := gjson.ParseBytes(body)
	return root, root.IsObject()
}

// each visits the fields of an object, or nothing if it is none.
func each(object gjson.Result, visit func(name string, value gjson.Result)) {
	if !object.IsObject() {
		return
	}
	object.ForEach(func(name, value gjson.Result) bool {
		visit(name.Str, value)
		return true
	})
}

// word is a string, or a number as Azure's codes are at times. Any other value is none.
func word(value gjson.Result) string {
	switch {
	case value.Type == gjson.String && len(value.Str) <= maxWord:
		return value.Str
	case value.Type == gjson.Number && len(value.Raw) <= maxWord && strings.Trim(value.Raw, "0123456789") == "":
		return value.Raw
	}
	return ""
}

// readRefusal takes what it can from the body of a refusal, which may be anything.
func readRefusal(e Exchange) refusal {
	r := refusal{provider: e.Provider, status: e.Status}
	root, ok := readObject(e.Body)
	if !ok {
		return r
	}
	hasError, hasStatus := false, false
	each(root, func(name string, value gjson.Result) {
		switch name {
		case "error":
			hasError = true
			r.read(value)
		case "statusCode":
			hasStatus = true
		}
	})
	r.apim = hasStatus && !hasError
	return r
}

// read takes {"error": {…}} as both providers write it.
func (r *refusal) read(failed gjson.Result) {
	r.object = failed.IsObject()
	each(failed, func(name string, value gjson.Result) {
		switch name {
		case "code":
			r.code = word(value)
		case "type":
			r.kind = word(value)
		case "message":
			r.message = value.Str
		case "innererror":
			r.inner = word(value.Get("code"))
		}
	})
}
