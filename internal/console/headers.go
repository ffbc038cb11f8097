package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"time"
)

// contentPolicy lets a page use the console's own files and nothing else: no inline script or style, no frame, no form
// that goes elsewhere.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// formTimeout is how long a request may take to come in.
const formTimeout = 30 * time.Second

// withHeaders sets on every answer what browsers must obey.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		// A form comes at once, or somebody holds a connection. Of a writer that has no deadlines it is not asked.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(formTimeout))
		next.ServeHTTP(w, r)
	})
}

//go:embed assets
var assets embed.FS

// assetPath is where a file is found, with a mark that changes with it.
func assetPath(name string) string { return "/assets/" + name + "?" + assetMark(name) }

func assetMark(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // a template names a file that is not there
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if r.URL.RawQuery == assetMark(name) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	_, _ = w.Write(text)
}
