package campaign

import "strings"

// The names of a recipient's members and columns.
const (
	memberID     = "recipientId"
	memberFields = "mergeFields"
	columnID     = memberID
)

const fieldNameRemedy = "use letters, digits and _, beginning with a letter, at most 64"

// shownName makes a name fit for a report. One that looks like a name is returned as it is; anything else may be
// content that went astray.
func shownName(name string) string {
	if name == "" || len(name) > MaxFieldNameBytes {
		return "an unknown member"
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '_' && c != '-' && c != '.' {
			return "an unknown member"
		}
	}
	return name
}

// meant guesses which of the two members somebody meant by another name; "" when it is neither.
func meant(name string) string {
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(name))
	switch plain {
	case "recipientid", "recipient", "recipients", "id", "fan", "fanid", "to", "subscriber", "subscriberid", "recipentid", "recipiantid":
		return memberID
	case "mergefields", "mergefield", "fields", "field", "merge", "mergetags", "variables", "vars", "data", "substitutions", "attributes", "properties", "customfields":
		return memberFields
	}
	return ""
}

// unknownMember refuses a member of a line of NDJSON by its name.
func unknownMember(name string) flaw {
	known := flaw{reason: "is not a member of a recipient"}
	switch {
	case meant(name) == memberID:
		known.remedy = "the id's member is called " + memberID
	case meant(name) == memberFields:
		known.remedy = "the member with the merge fields is called " + memberFields
	case isFieldName([]byte(name)):
		known.remedy = `if it is a merge field, write "` + memberFields + `":{"` + name + `":"…"}`
	default:
		known.remedy = "leave it out: a recipient has " + memberID + " and " + memberFields
	}
	return known
}
