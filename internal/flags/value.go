package flags

import (
	"fmt"
	"strconv"
	"strings"
)

// Value is what a flag can be set to. The zero value is Off.
type Value struct {
	percent uint8 // of the accounts that it holds for
	share   bool  // it is written as a percentage
}

// The values of every flag.
var (
	Off = Value{}
	On  = Value{percent: 100}
)

// Percent is the value that is on for that part of the accounts.
func Percent(n int) (Value, error) {
	if n < 0 || n > 100 {
		return Value{}, fmt.Errorf("%d%%: give a percentage from 0%% to 100%%", n)
	}
	return Value{percent: uint8(n), share: true}, nil
}

// String is the value as ParseValue reads it.
func (v Value) String() string {
	switch {
	case v.share:
		return strconv.Itoa(int(v.percent)) + "%"
	case v.percent > 0:
		return "on"
	}
	return "off"
}

// MarshalText writes the value as it is said.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// ParseValue reads a value of a flag for all accounts, or, with an account, for that one alone.
func ParseValue(name Name, userID, text string) (Value, error) {
	i := index(name)
	if i < 0 {
		_, err := Parse(string(name))
		return Value{}, err
	}
	switch strings.ToLower(text) {
	case "on":
		return On, nil
	case "off":
		return Off, nil
	}
	digits, isPercentage := strings.CutSuffix(text, "%")
	switch {
	case definitions[i].kind != percentage:
		return Value{}, fmt.Errorf("%s %q: give on or off", name, text)
	case userID != "":
		return Value{}, fmt.Errorf("%s %q: one account is either on or off; a percentage is for all of them", name, text)
	case !isPercentage:
		return Value{}, fmt.Errorf("%s %q: give on, off or a percentage of the accounts, such as 25%%", name, text)
	}
	n, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || n > 100 || strconv.FormatUint(n, 10) != digits {
		return Value{}, fmt.Errorf("%s %q: give a whole percentage from 0%% to 100%%", name, text)
	}
	return Value{percent: uint8(n), share: true}, nil
}

// holds says whether the value is on for an account. One whose name is not known is in no part of the accounts.
func (v Value) holds(name Name, userID string) bool {
	switch v.percent {
	case 0:
		return false
	case 100:
		return true
	}
	return userID != "" && bucket(name, userID) < v.percent
}

// bucket is the account's place among 100, for ever the same: it must not change between versions of this program, or
// an account would change sides. The flag's name is part of it, so that the first of one flag are not those of another.
func bucket(name Name, userID string) uint8 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a, 64 bits
	h := uint64(offset)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	h *= prime // a zero byte between the two
	for i := range len(userID) {
		h = (h ^ uint64(userID[i])) * prime
	}
	// FNV alone spreads short names that differ in their last digit badly; this is the end of MurmurHash3.
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return uint8((h ^ h>>33) % 100)
}
