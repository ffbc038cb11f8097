package apikey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		key := New()
		text := key.Reveal()
		again, err := Parse(text)
		if err != nil || again != key || seen[text] || !ValidID(key.ID) {
			t.Fatalf("%v, %v", again, err)
		}
		seen[text] = true
		hash := key.Hash()
		if !again.Matches(hash[:]) || Renew(key.ID).Matches(hash[:]) || again.Matches(nil) {
			t.Fatal("the comparison is wrong")
		}
	}
}

// TestTypos: no key with one character changed, left out, added or exchanged is taken for a key.
func TestTypos(t *testing.T) {
	t.Parallel()
	text := New().Reveal()
	check := func(wrong string) {
		if wrong == text {
			return
		}
		_, err := Parse(wrong)
		if err == nil {
			t.Errorf("%s was taken for %s", wrong, text)
			return
		}
		if secret := text[strings.LastIndex(text, "_")+1:]; strings.Contains(err.Error(), secret[:8]) || strings.Contains(err.Error(), secret[20:28]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	for i := range text {
		check(text[:i] + text[i+1:])
		check(text[:i])
		for _, c := range "abz27_A0 \x00é" {
			check(text[:i] + string(c) + text[i+1:])
			check(text[:i] + string(c) + text[i:])
		}
		if i > 0 {
			check(text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:])
		}
	}
	other := New().Reveal()
	check(text[:len(prefix)+idLength] + other[len(prefix)+idLength:])
	check(strings.ToUpper(text))
	check("")
}

func TestSecretIsNotShown(t *testing.T) {
	t.Parallel()
	key := New()
	secret := key.Reveal()[len(prefix)+idLength+1:]
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", key)
		fmt.Fprintf(&out, verb+"\n", &key)
		fmt.Fprintf(&out, verb+"\n", struct{ K Key }{key})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", key)
	_ = json.NewEncoder(&out).Encode(key)
	if raw := fmt.Sprintf("%x", key.secret); strings.Contains(out.String(), secret[:10]) || strings.Contains(out.String(), raw[:10]) || strings.Contains(out.String(), fmt.Sprint(key.secret[:4])[1:8]) {
		t.Errorf("the secret is shown:\n%s", &out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New().Reveal())
	f.Add("huntaze_abc_def")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := Parse(text)
		if err == nil && key.Reveal() != text {
			t.Errorf("%q and %q are one key", text, key.Reveal())
		}
	})
}
