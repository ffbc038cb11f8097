//go:build unix

package localpg

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// repository is a stand-in for Maven Central with one archive of programs, which are scripts.
func repository(t *testing.T) (address string, requests *atomic.Int32) {
	t.Helper()
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) 16.9'\n"
	for name, text := range map[string]string{
		"bin/postgres": script, "bin/initdb": script, "bin/pg_ctl": "#!/bin/sh\nexit 1\n",
		"share/postgresql/extension/btree_gist.control": "",
	} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o755}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	zipped := zip.NewWriter(&jar)
	entry, err := zipped.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write(storedXZ(files.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if !strings.Contains(r.URL.Path, "/16.9.0/") {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			sum := sha256.Sum256(jar.Bytes())
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(func() {
		server.Close()
		// The library uses the default client.
		http.DefaultClient.CloseIdleConnections()
	})
	return server.URL, requests
}

func TestDownloadedServerIsFoundAndKept(t *testing.T) {
	t.Parallel()
	address, requests := repository(t)
	cache := reachable(t)
	for range 2 {
		f := testFinder(t)
		f.major = 16
		f.download = func(ctx context.Context, major int) (string, error) { return downloadInto(ctx, cache, major, address) }
		found, err := f.find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(cache, "16.9.0", "bin"); found.dir != want || found.major != 16 {
			t.Errorf("found %+v, want %s", found, want)
		}
	}
	if got := requests.Load(); got != 2 { // the archive and its checksum, once
		t.Errorf("%d requests", got)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "unpack-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFailedDownloadIsAnError(t *testing.T) {
	t.Parallel()
	address, _ := repository(t)
	cache := reachable(t)
	if dir, err := downloadInto(t.Context(), cache, 15, address); err == nil {
		t.Errorf("a version that the repository does not have: %s", dir)
	}
	if dir, err := downloadInto(t.Context(), cache, 12, address); err == nil {
		t.Errorf("a version that we do not know: %s", dir)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDownloadObeysItsContext(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-answer
		http.NotFound(w, r)
	}))
	cache := reachable(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := downloadInto(ctx, cache, 16, server.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	close(answer)
	server.Close()
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "the clean-up behind our back", func() bool {
		left, err := filepath.Glob(filepath.Join(cache, "*"))
		return err == nil && len(left) == 0
	})
}

// storedXZ wraps data in the xz format (https://tukaani.org/xz/xz-file-format.txt) without compressing it.
func storedXZ(data []byte) []byte {
	sum := func(part []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(part)) }
	pad := func(part []byte) []byte {
		for len(part)%4 != 0 {
			part = append(part, 0)
		}
		return part
	}
	flags := []byte{0, 0} // no check of the content
	out := append([]byte("\xfd7zXZ\x00"), flags...)
	out = append(out, sum(flags)...)

	header := []byte{2, 0, 0x21, 1, 8, 0, 0, 0} // 12 bytes with its sum; one filter, LZMA2
	block := append(header, sum(header)...)
	control := byte(1) // a stored chunk that resets the dictionary
	for rest := data; len(rest) > 0; control = 2 {
		chunk := rest[:min(len(rest), 1<<16)]
		rest = rest[len(chunk):]
		block = append(block, control)
		block = binary.BigEndian.AppendUint16(block, uint16(len(chunk)-1))
		block = append(block, chunk...)
	}
	block = append(block, 0)
	unpadded := len(block)
	out = append(out, pad(block)...)

	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(unpadded))
	index = pad(binary.AppendUvarint(index, uint64(len(data))))
	index = append(index, sum(index)...)
	out = append(out, index...)

	footer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	footer = append(footer, flags...)
	out = append(out, sum(footer)...)
	out = append(out, footer...)
	return append(out, 'Y', 'Z')
}
