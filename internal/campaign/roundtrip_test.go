package campaign_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// entry is a recipient as another program writes it.
type entry struct {
	RecipientID string            `json:"recipientId"`
	MergeFields map[string]string `json:"mergeFields,omitempty"`
}

func drawEntries(names []string) *rapid.Generator[[]entry] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) entry {
		e := entry{RecipientID: rapid.StringMatching(`[!-~ä-ü€😀]([ -~ä-ü€😀]{0,20}[!-~ä-ü€😀])?`).Draw(t, "id")}
		for _, name := range names {
			value := rapid.StringMatching(`[ -~ä-ü€😀\n\t"';,]{0,12}`).Draw(t, "value")
			if value != "" && rapid.Bool().Draw(t, "has") {
				if e.MergeFields == nil {
					e.MergeFields = map[string]string{}
				}
				e.MergeFields[name] = value
			}
		}
		return e
	}), 0, 20)
}

func drawNames(t *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z][A-Za-z0-9_]{0,9}`), 0, 5, strings.ToLower).
		Filter(func(names []string) bool { return !strings.Contains(strings.ToLower(fmt.Sprint(names)), "merge") }).Draw(t, "names")
}

func entriesOf(t *rapid.T, list []byte, format campaign.Format) []entry {
	reader := campaign.NewReader(bytes.NewReader(list), format, campaign.Limits{})
	entries := []entry{}
	for {
		recipient, refused, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil || refused != nil {
			t.Fatalf("%v, %v, in\n%s", refused, err, list)
		}
		entries = append(entries, entry{recipient.ID, recipient.Fields})
	}
}

// What encoding/json writes comes back.
func TestNDJSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawEntries(drawNames(t)).Draw(t, "entries")
		var list bytes.Buffer
		encoder := json.NewEncoder(&list)
		encoder.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
		for _, e := range want {
			if err := encoder.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, entriesOf(t, list.Bytes(), campaign.NDJSON)); diff != "" {
			t.Fatalf("(-want +got):\n%s\nof\n%s", diff, list.Bytes())
		}
	})
}

// What encoding/csv writes comes back, whatever the separator, the line ends and the place of the id.
func TestCSVRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := drawNames(t)
		want := drawEntries(names).Draw(t, "entries")
		at := rapid.IntRange(0, len(names)).Draw(t, "place of the id")
		insert := func(id string, values []string) []string {
			return append(append(append([]string{}, values[:at]...), id), values[at:]...)
		}
		var list bytes.Buffer
		writer := csv.NewWriter(&list)
		writer.Comma = rapid.SampledFrom([]rune{',', ';', '\t'}).Draw(t, "separator")
		if len(names) == 0 {
			writer.Comma = ','
		}
		writer.UseCRLF = rapid.Bool().Draw(t, "CRLF")
		records := [][]string{insert("recipientId", names)}
		for _, e := range want {
			values := make([]string, len(names))
			for i, name := range names {
				values[i] = e.MergeFields[name]
			}
			records = append(records, insert(e.RecipientID, values))
		}
		if err := writer.WriteAll(records); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, entriesOf(t, list.Bytes(), campaign.CSV)); diff != "" {
			t.Fatalf("(-want +got):\n%s\nof\n%s", diff, list.Bytes())
		}
	})
}

// Whatever comes in: each line is used or refused, what is used could be read by encoding/json too and keeps the
// bounds, and the reading doesn't depend on how the bytes arrive.
func FuzzNDJSON(f *testing.F) {
	for _, seed := range []string{"\"a\"\nnull\n{}", `{"recipientId":"fan-1","mergeFields":{"name":"Ann","n":1e3}}`, "\uFEFF\"\\ud83d\\ude00\"\r\n", `{"recipientId":"a","recipientId":"b"}`, `"\u0000"`, "[1]", `{"fields":`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		lines := strings.Split(strings.TrimPrefix(string(list), "\uFEFF"), "\n")
		reader := campaign.NewReader(bytes.NewReader(list), campaign.NDJSON, campaign.Limits{MaxLineBytes: 300})
		last := 0
		for {
			recipient, refused, err := reader.Next()
			if err != nil {
				var file *campaign.FileError
				if !errors.Is(err, io.EOF) && !errors.As(err, &file) {
					t.Fatal(err)
				}
				return
			}
			if refused != nil {
				if refused.Line <= last || refused.Line > len(lines) || refused.Reason == "" || refused.Remedy == "" {
					t.Fatalf("after line %d: %s", last, refused)
				}
				last = refused.Line
				continue
			}
			if recipient.Line <= last || recipient.Line > len(lines) {
				t.Fatalf("after line %d: %v", last, recipient)
			}
			last = recipient.Line
			checkRecipient(t, recipient)
			line := []byte(lines[last-1])
			var id string
			var whole struct {
				RecipientID *string                    `json:"recipientId"`
				MergeFields map[string]json.RawMessage `json:"mergeFields"`
			}
			if json.Unmarshal(line, &id) != nil {
				if err := json.Unmarshal(line, &whole); err != nil {
					t.Fatalf("%q was taken in; encoding/json says %v", line, err)
				}
				id = *whole.RecipientID
			}
			if id != recipient.ID {
				t.Fatalf("%q of %q", recipient.ID, line)
			}
			for name, raw := range whole.MergeFields {
				want := string(raw)
				if raw[0] == '"' {
					_ = json.Unmarshal(raw, &want)
				}
				if got, has := recipient.Fields[name]; has != (want != "null" || raw[0] == '"') || has && got != want {
					t.Fatalf("%q of %q", recipient.Fields, line)
				}
			}
		}
	})
}

func checkRecipient(t *testing.T, r campaign.Recipient) {
	t.Helper()
	if r.ID == "" || len(r.ID) > campaign.MaxIDBytes || !utf8.ValidString(r.ID) || strings.TrimSpace(r.ID) != r.ID || strings.ContainsAny(r.ID, "\x00\n\r\t") || len(r.Fields) > campaign.MaxFields {
		t.Fatalf("%+v", r)
	}
	for name, value := range r.Fields {
		if name == "" || len(name) > 64 || len(value) > campaign.MaxFieldBytes || strings.Contains(value, "\x00") || !utf8.ValidString(value) {
			t.Fatalf("%+v", r)
		}
	}
}

// Whatever comes in: each row is used or refused, and a list that encoding/csv reads too says the same there.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"recipientId,name\na,Ann\n", "name;recipientId\r\n\"A\"\"n\r\nn\";b", "recipientId\na\n\nb\"c\n\"", "recipientId,a,\n,,\nx,\"y", "\uFEFFrecipientId\tn\n1\t2"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		reader := campaign.NewReader(bytes.NewReader(list), campaign.CSV, campaign.Limits{MaxLineBytes: 300})
		var used []campaign.Recipient
		last, clean := 0, true
		for {
			recipient, refused, err := reader.Next()
			if err != nil {
				clean = clean && errors.Is(err, io.EOF)
				break
			}
			line := recipient.Line
			if refused != nil {
				line, clean = refused.Line, false
			} else {
				checkRecipient(t, recipient)
				used = append(used, recipient)
			}
			if line <= last || line > bytes.Count(list, []byte("\n"))+1 {
				t.Fatalf("line %d after %d", line, last)
			}
			last = line
		}
		if !clean {
			return
		}
		var ours []string
		for _, r := range used {
			ours = append(ours, r.ID)
		}
		var theirs []string
		for _, separator := range []rune{',', ';', '\t'} {
			if theirs = idsOf(list, separator); slices.Equal(ours, theirs) {
				return
			}
		}
		if len(ours) > 0 {
			t.Fatalf("%q, encoding/csv reads %q from %q", ours, theirs, list)
		}
	})
}

// idsOf reads the ids of a CSV by encoding/csv.
func idsOf(list []byte, separator rune) []string {
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(list, []byte("\uFEFF"))))
	reader.Comma, reader.FieldsPerRecord = separator, -1
	records, err := reader.ReadAll()
	if err != nil {
		return nil
	}
	records = slices.DeleteFunc(records, func(r []string) bool { return strings.Join(r, "") == "" })
	if len(records) == 0 {
		return nil
	}
	at := slices.IndexFunc(records[0], func(name string) bool { return strings.TrimSpace(name) == "recipientId" })
	var ids []string
	for _, record := range records[1:] {
		if at >= 0 && at < len(record) {
			ids = append(ids, record[at])
		}
	}
	return ids
}

func BenchmarkReader(b *testing.B) {
	var lines, rows strings.Builder
	rows.WriteString("recipientId,name,city\n")
	const count = 10_000
	for i := range count {
		fmt.Fprintf(&lines, `{"recipientId":"fan-%d","mergeFields":{"name":"Ann %d","city":"Rome"}}`+"\n", i, i)
		fmt.Fprintf(&rows, "fan-%d,Ann %d,Rome\n", i, i)
	}
	for format, list := range map[campaign.Format]string{campaign.NDJSON: lines.String(), campaign.CSV: rows.String()} {
		b.Run(format.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(list)))
			for b.Loop() {
				reader := campaign.NewReader(strings.NewReader(list), format, campaign.Limits{})
				read := 0
				for {
					_, refused, err := reader.Next()
					if err != nil {
						break
					}
					if refused != nil {
						b.Fatal(refused)
					}
					read++
				}
				if read != count {
					b.Fatal(read)
				}
			}
			b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
