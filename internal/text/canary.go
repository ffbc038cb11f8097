package text

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

const canaryPrefix = "hzcanary"

// Canary makes the marker of one prompt from a seed, which must be something that nobody else knows or can guess:
// random bytes, or a hash with a secret key. The same seed gives the same marker, so that it need not be stored;
// the marker does not give the seed away. It is all letters and digits, so that a model has no reason to change it.
// A Gate knows it in any case, script and spelling, backwards, and by twelve characters of it.
func Canary(seed string) string {
	sum := sha256.Sum256([]byte("huntaze canary\x00" + seed))
	return canaryPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:15]))
}
