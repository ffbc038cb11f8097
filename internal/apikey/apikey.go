// Package apikey makes and reads the keys of the API: "huntaze_<id>_<secret>". It is pure but for the random bytes of a
// new key.
//
// It promises three things. A secret has 256 bits by chance, so its SHA-256 can be stored without a salt and says
// nothing about it. A key that was mistyped or cut off is recognised by its checksum, without asking the database.
// And no error, and no form in which a Key is printed, holds a secret.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
)

const (
	prefix      = "huntaze_"
	idLength    = 12 // characters: 60 bits, enough to be unique
	secretBytes = 32
	checkBytes  = 4
)

// encoding has no signs that a double click would stop at, or that a person takes for others.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// secretLength is that of secret and checksum together, in characters.
var secretLength = encoding.EncodedLen(secretBytes + checkBytes)

// Key is what a caller shows. Its secret is reached by String alone.
type Key struct {
	ID     string
	secret [secretBytes]byte
}

// Hash is what is stored of a secret.
type Hash [sha256.Size]byte

// New makes a key.
func New() Key {
	var random [8]byte
	_, _ = rand.Read(random[:]) // documented never to fail: it ends the process instead
	return Renew(encoding.EncodeToString(random[:])[:idLength])
}

// Renew makes a key with another secret under the same id.
func Renew(id string) Key {
	key := Key{ID: id}
	_, _ = rand.Read(key.secret[:])
	return key
}

// Reveal is the whole key, to be shown to its owner once.
func (k Key) Reveal() string {
	return prefix + k.ID + "_" + encoding.EncodeToString(binary.BigEndian.AppendUint32(k.secret[:], checksum(k.ID, k.secret)))
}

// Hash returns what is to be stored.
func (k Key) Hash() Hash { return sha256.Sum256(k.secret[:]) }

// Matches says whether the stored hash is that of the key's secret, in a time that does not depend on it.
func (k Key) Matches(stored []byte) bool {
	own := k.Hash()
	return subtle.ConstantTimeCompare(own[:], stored) == 1
}

// String shows the id alone.
func (k Key) String() string { return prefix + k.ID + "_[hidden]" }

// GoString keeps %#v from showing the secret.
func (k Key) GoString() string { return k.String() }

// Format keeps every other verb from showing the secret.
func (k Key) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, k.String()) }

// LogValue keeps slog from showing the secret.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// checksum covers the id too: half of one key and half of another are no key.
func checksum(id string, secret [secretBytes]byte) uint32 {
	return crc32.ChecksumIEEE(append([]byte(id), secret[:]...))
}

// Parse reads a key. The error says what is wrong with its form, and never shows any of it.
func Parse(text string) (Key, error) {
	rest, ours := strings.CutPrefix(text, prefix)
	if !ours {
		return Key{}, fmt.Errorf("a key begins with %s", prefix)
	}
	id, secret, divided := strings.Cut(rest, "_")
	switch {
	case !divided || !ValidID(id):
		return Key{}, fmt.Errorf("a key is %s, an id of %d characters, _ and a secret", prefix, idLength)
	case len(secret) != secretLength:
		return Key{}, fmt.Errorf("the key's secret has %d characters, not %d: it was not copied as a whole", len(secret), secretLength)
	}
	key := Key{ID: id}
	decoded, err := encoding.DecodeString(secret)
	if err != nil {
		return Key{}, errors.New("the key's secret has characters that none has: it was mistyped")
	}
	copy(key.secret[:], decoded)
	// Not only the checksum: the last character has bits that belong to nothing, and a key has one form.
	if binary.BigEndian.Uint32(decoded[secretBytes:]) != checksum(id, key.secret) || key.Reveal() != text {
		return Key{}, errors.New("the key was mistyped: its checksum is wrong")
	}
	return key, nil
}

// ValidID says whether a text has the form of an id.
func ValidID(id string) bool {
	return len(id) == idLength && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
