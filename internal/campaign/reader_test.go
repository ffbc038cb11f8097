package campaign_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// readAll writes what comes of a list one line each: "1 fan-1 map[name:Ann]", the refusals as they are, and the error.
func readAll(r io.Reader, format campaign.Format, limits campaign.Limits) []string {
	var all []string
	reader := campaign.NewReader(r, format, limits)
	for {
		recipient, refused, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			return append(all, "error: "+err.Error())
		case refused != nil:
			all = append(all, refused.String())
		default:
			all = append(all, strings.TrimSuffix(fmt.Sprint(recipient.Line, " ", recipient.ID, " ", recipient.Fields), " map[]"))
		}
	}
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	const broken = `; write each line like {"recipientId":"fan-1","mergeFields":{"name":"Ann"}}`
	tests := []struct {
		name, list string
		want       []string
	}{
		{"objects and strings", "{\"recipientId\":\"fan-1\",\"mergeFields\":{\"name\":\"Ann\",\"n\":-1.50e3}}\n\"fan-2\"\n", []string{"1 fan-1 map[n:-1.50e3 name:Ann]", "2 fan-2"}},
		{"without a last line end", `"a"`, []string{"1 a"}},
		{"nothing", "", nil},
		{"empty lines, null, CRLF, a mark", "\uFEFF\"a\"\r\n\r\n  \nnull\n null \r\n\"b\"", []string{"1 a", "6 b"}},
		{"null is missing", `{"recipientId":"a","mergeFields":null}` + "\n" + `{"recipientId":"b","mergeFields":{"x":null}}` + "\n" + `{"recipientId":null}`,
			[]string{"1 a", "2 b", "line 3: recipientId: is missing; give each recipient an id"}},
		{"escapes", `"\u00e4\ud83d\ude00\/\\"`, []string{`1 ä😀/\`}},
		{"neighbours of a bad line", "\"a\"\n{]\n\"b\"", []string{"1 a", "line 2: line: is not valid JSON at column 2" + broken, "3 b"}},
		{"columns count characters", `{"recipientId":"äöü" x`, []string{"line 1: line: is not valid JSON at column 22" + broken}},
		{"too early", `{"recipientId":"a"`, []string{"line 1: line: is not valid JSON: it ends too early, at column 19; write each recipient on one line of its own"}},
		{"more behind it", `"a" "b"`, []string{"line 1: line: is not valid JSON at column 5" + broken}},
		{"an array", `["a","b"]`, []string{"line 1: line: is an array; write one recipient a line, without brackets around the list"}},
		{"a number", `17`, []string{`line 1: line: is a number, it must be an object or a string; write each line like {"recipientId":"fan-1"}`}},
		{"a number as id", `{"recipientId":17}`, []string{"line 1: recipientId: is a number, it must be a string; put the id in quotes"}},
		{"an empty id", `""`, []string{"line 1: recipientId: is empty; give each recipient an id"}},
		{"space around an id", `" a"`, []string{"line 1: recipientId: begins or ends with white space; remove it from the id"}},
		{"control characters", `"a\u0007"`, []string{"line 1: recipientId: contains control characters; remove them from the id"}},
		{"NUL", `"a\u0000"`, []string{`line 1: recipientId: contains \u0000; remove the NUL character: Postgres can't store it`}},
		{"half a pair", `"a\ud83d"`, []string{"line 1: recipientId: contains half of a surrogate pair; send characters beyond U+FFFF as a whole pair, or as UTF-8"}},
		{"not UTF-8", "\"a\xff\"", []string{"line 1: recipientId: is not valid UTF-8; encode the list as UTF-8"}},
		{"a long id", `"` + strings.Repeat("x", 257) + `"`, []string{"line 1: recipientId: has 257 bytes, the most is 256; use a shorter id"}},
		{"the longest id", `"` + strings.Repeat("x", 256) + `"`, []string{"1 " + strings.Repeat("x", 256)}},
		{"fields", `{"recipientId":"a","fields":{"name":"secret"}}`, []string{"line 1: fields: is not a member of a recipient; the member with the merge fields is called mergeFields"}},
		{"another case", `{"recipientid":"a"}`, []string{"line 1: recipientid: is not a member of a recipient; the id's member is called recipientId"}},
		{"a merge field outside", `{"recipientId":"a","city":"secret"}`, []string{`line 1: city: is not a member of a recipient; if it is a merge field, write "mergeFields":{"city":"…"}`}},
		{"a name that may be content", `{"recipientId":"a","my secret":1}`, []string{"line 1: an unknown member: is not a member of a recipient; leave it out: a recipient has recipientId and mergeFields"}},
		{"twice", `{"recipientId":"a","recipientId":"b"}`, []string{"line 1: recipientId: occurs more than once; give the member once"}},
		{"a field twice", `{"recipientId":"a","mergeFields":{"x":"1","\u0078":"2"}}`, []string{"line 1: mergeFields.x: occurs more than once; give each field once"}},
		{"a field's name", `{"recipientId":"a","mergeFields":{"my secret":"1"}}`, []string{"line 1: mergeFields: has a field without a valid name; use letters, digits and _, beginning with a letter, at most 64"}},
		{"a field's type", `{"recipientId":"a","mergeFields":{"x":[1]}}`, []string{"line 1: mergeFields.x: is an array, it must be a string or a number; put the value in quotes"}},
		{"true", `{"recipientId":"a","mergeFields":{"x":true}}`, []string{"line 1: mergeFields.x: is true or false, it must be a string or a number; put the value in quotes"}},
		{"a long value", `{"recipientId":"a","mergeFields":{"x":"` + strings.Repeat("ä", 2049) + `"}}`, []string{"line 1: mergeFields.x: has 4098 bytes, the most is 4096; shorten the value"}},
		{"NUL in a value", `{"recipientId":"a","mergeFields":{"x":"\u0000"}}`, []string{`line 1: mergeFields.x: contains \u0000; remove the NUL character: Postgres can't store it`}},
		{"too many fields", `{"recipientId":"a","mergeFields":{` + strings.TrimSuffix(manyFields(65), ",") + `}}`, []string{"line 1: mergeFields: has more than 64 fields; leave out those that the text doesn't use"}},
		{"a leading zero", `{"recipientId":"a","mergeFields":{"x":01}}`, []string{"line 1: line: is not valid JSON at column 40" + broken}},
		{"UTF-16", "\xff\xfe\"\x00a\x00", []string{"error: the list of recipients is written in UTF-16 (line 1); save it as UTF-8"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(test.list), iotest.OneByteReader(strings.NewReader(test.list))} {
				got := readAll(r, campaign.NDJSON, campaign.Limits{})
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if strings.Contains(strings.Join(got, ""), "secret") {
					t.Error("a value is shown")
				}
			}
		})
	}
}

func manyFields(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `"x%d":"",`, i)
	}
	return text.String()
}

func TestCSV(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, list string
		want       []string
	}{
		{"columns are merge fields", "recipientId,name,city\nfan-1,Ann,Rome\nfan-2,,\n", []string{"2 fan-1 map[city:Rome name:Ann]", "3 fan-2"}},
		{"the id anywhere", "name;recipientId\nAnn;a\n", []string{"2 a map[name:Ann]"}},
		{"tabs", "name\trecipientId\nAnn, B\ta", []string{"2 a map[name:Ann, B]"}},
		{"a mark, CRLF, empty rows", "\uFEFF\r\nrecipientId,name\r\n\r\na,Ann\r\n,\r\nb,Bob\r\n", []string{"4 a map[name:Ann]", "6 b map[name:Bob]"}},
		{"quotes", "recipientId,name\n\"a\",\"Ann \"\"A\"\", of\nRome\"\n\"b\",x\n", []string{"2 a map[name:Ann \"A\", of\nRome]", "4 b map[name:x]"}},
		{"quotes before CRLF", "\"recipientId\",\"name\"\r\n\"a\",\"x\r\ny\"\r\n", []string{"2 a map[name:x\ny]"}},
		{"only ids", "recipientId\na\n\nb", []string{"2 a", "4 b"}},
		{"cells that a spreadsheet adds", "recipientId,name,,\na,Ann,,,\nb,Bob\nc,Cy,,secret\n", []string{"2 a map[name:Ann]", "3 b map[name:Bob]",
			"line 4: line: has 4 cells, the header has 2; give every row as many cells as the header, and put values that contain the separator in quotes"}},
		{"too few cells", "recipientId,name\na\n", []string{"line 2: line: has 1 cells, the header has 2; give every row as many cells as the header, and put values that contain the separator in quotes"}},
		{"a quote inside", "recipientId,name\na,An\"n\nb,Bob\n", []string{"line 2: line: has a quote inside of a value without quotes; put the value in quotes, and write a quote in it twice", "3 b map[name:Bob]"}},
		{"more behind a quote", "recipientId,name\na,\"Ann\nb,\"Bob\nc,Cy\n", []string{"line 2: line: has characters after a closing quote (lines 2 to 3 were left out); write a quote in a value twice", "4 c map[name:Cy]"}},
		{"a quote that is never closed", "recipientId,name\na,Ann\nb,\"Bob\nc,Cy\n", []string{"2 a map[name:Ann]",
			"line 3: line: has a quote that is never closed: everything after it was left out (lines 3 to 5 were left out); close the quote, and write a quote in a value twice"}},
		{"no id", "recipientId,name\n,Ann\n", []string{"line 2: recipientId: is empty; give each recipient an id"}},
		{"a long value", "recipientId,name\na," + strings.Repeat("x", 4097), []string{"line 2: name: has 4097 bytes, the most is 4096; shorten the value"}},
		{"NUL", "recipientId,name\na,x\x00y", []string{"line 2: name: contains a NUL character; remove it: Postgres can't store it"}},
		{"not UTF-8", "recipientId,name\na,J\xfcrgen", []string{"line 2: name: is not valid UTF-8; encode the list as UTF-8"}},
		{"nothing", "", []string{"error: the list of recipients is empty (line 1); send a CSV with a header that has a column recipientId"}},
		{"no header", "fan 1\nfan 2", []string{"error: the list of recipients has no column recipientId (line 1); begin with a header like recipientId,name"}},
		{"another name", "Name,Recipient ID\n", []string{"error: the list of recipients has no column recipientId (line 1); call the column with the ids recipientId; column 2 seems to be it"}},
		{"a column twice", "recipientId,name,name\n", []string{"error: the list of recipients has two columns name (line 1); give each column a name of its own"}},
		{"a column without a name", "recipientId,,name\n", []string{"error: the list of recipients has no name for column 2 (line 1); name each column"}},
		{"a bad name", "recipientId,my secret\n", []string{"error: the list of recipients has no valid name for column 2 (line 1); use letters, digits and _, beginning with a letter, at most 64"}},
		{"merge fields in one column", "recipientId,mergeFields\n", []string{"error: the list of recipients has merge fields in column 2 (line 1); give each merge field a column of its own, called by its name"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(test.list), iotest.OneByteReader(strings.NewReader(test.list))} {
				got := readAll(r, campaign.CSV, campaign.Limits{})
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if strings.Contains(strings.Join(got, ""), "secret") {
					t.Error("a value is shown")
				}
			}
		})
	}
}

// A line that is too long costs its own recipient only, wherever the reader's buffer ends.
func TestTooLongLines(t *testing.T) {
	t.Parallel()
	for _, size := range []int{99, 101, 65_535, 65_536, 65_537, 1 << 20} {
		long := strings.Repeat("x", size)
		list := "\"a\"\n\"" + long + "\"\n\"b\"\n\"" + long + "\""
		got := readAll(strings.NewReader(list), campaign.NDJSON, campaign.Limits{MaxLineBytes: 100})
		const refusal = "line: has more than 100 bytes; shorten its values, and write one recipient a line"
		want := []string{"1 a", "line 2: " + refusal, "3 b", "line 4: " + refusal}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("NDJSON, %d (-want +got):\n%s", size, diff)
		}
		if size <= 100 {
			continue // a CSV's values are counted without quotes
		}
		list = "recipientId,n\na,1\nb,\"" + long + "\nc,d\"\nd,1\n"
		got = readAll(strings.NewReader(list), campaign.CSV, campaign.Limits{MaxLineBytes: 100})
		want = []string{"2 a map[n:1]", "line 3: line: has more than 100 bytes (lines 3 to 4 were left out); shorten its values, and look for a quote that isn't closed", "5 d map[n:1]"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("CSV, %d (-want +got):\n%s", size, diff)
		}
	}
}

// A connection that breaks must not make a recipient of half an id.
func TestCutOffLineIsNotUsed(t *testing.T) {
	t.Parallel()
	for format, list := range map[campaign.Format]string{campaign.NDJSON: "\"a\"\n17", campaign.CSV: "recipientId\na\nfan-1"} {
		r := io.MultiReader(strings.NewReader(list), iotest.ErrReader(io.ErrUnexpectedEOF))
		reader := campaign.NewReader(r, format, campaign.Limits{})
		if got, _, err := reader.Next(); err != nil || got.ID != "a" {
			t.Fatalf("%s: %v, %v", format, got, err)
		}
		for range 2 {
			if _, refused, err := reader.Next(); !errors.Is(err, io.ErrUnexpectedEOF) || refused != nil {
				t.Errorf("%s: %v, %v", format, refused, err)
			}
		}
	}
}

func TestTooManyRecipients(t *testing.T) {
	t.Parallel()
	got := readAll(strings.NewReader("\"a\"\n\n{}\n\n\"b\"\n"), campaign.NDJSON, campaign.Limits{MaxRecipients: 2})
	want := []string{"1 a", "line 2: recipientId: is missing; give each recipient an id"}
	want[1] = strings.Replace(want[1], "line 2", "line 3", 1)
	want = append(want, "error: the list of recipients has more than 2 recipients (line 5); divide it, and send each part with a call of its own")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]campaign.Format{
		"application/x-ndjson": campaign.NDJSON, "Application/JSONL; charset=UTF-8": campaign.NDJSON,
		"text/csv": campaign.CSV, "text/csv; header=present; charset=us-ascii": campaign.CSV, "text/tab-separated-values": campaign.CSV,
		"": 0, "application/json": 0, "application/json-seq": 0, "text/csv; charset=iso-8859-1": 0, "text/csv; header=absent": 0,
		"image/png": 0, "text/csv; =": 0, ";": 0,
	} {
		got, err := campaign.FormatOf(contentType)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v", contentType, got, err)
		}
	}
}

// repeat is a list that goes on for so many bytes without standing anywhere.
type repeat struct {
	text string
	left int
}

func (r *repeat) Read(into []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n+len(r.text) <= len(into) && r.left > 0 {
		n += copy(into[n:], r.text)
		r.left -= len(r.text)
	}
	return n, nil
}

// Neither many lines nor one that never ends take memory. It runs alone, because it counts what is allocated.
func TestReadingTakesConstantMemory(t *testing.T) {
	const size = 32 << 20
	for _, test := range []struct {
		name   string
		format campaign.Format
		begin  string
		text   string
		most   uint64 // bytes that are allocated in all
	}{
		{"a line without end", campaign.NDJSON, `"`, "xxxxxxxx", 6 << 20},
		{"a record without end", campaign.CSV, "recipientId\n\"", "xxx\nxxxx", 6 << 20},
		{"cells without end", campaign.CSV, "recipientId\n", ",,,,,,,,", 6 << 20},
		{"empty lines", campaign.NDJSON, "", "\n \n\r\n\n\n\n", 1 << 20},
		{"empty rows", campaign.CSV, "recipientId,name\n", ",\n\n,\n,\n", 1 << 20},
		{"refused lines", campaign.NDJSON, "", strings.Repeat("[", 4095) + "\n", 32 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		reader := campaign.NewReader(io.MultiReader(strings.NewReader(test.begin), &repeat{test.text, size}), test.format, campaign.Limits{})
		lines := 0
		for {
			_, _, err := reader.Next()
			if err != nil {
				break
			}
			lines++
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > test.most {
			t.Errorf("%s: %d bytes for %d lines", test.name, took, lines)
		}
	}
	// A million recipients: no more is kept at the end than at the beginning.
	reader := campaign.NewReader(&repeat{`{"recipientId":"fan-1234567","mergeFields":{"name":"Ann"}}` + "\n", 59 * campaign.DefaultMaxRecipients}, campaign.NDJSON, campaign.Limits{})
	var before, after runtime.MemStats
	count := 0
	for {
		recipient, refused, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || refused != nil || recipient.ID != "fan-1234567" {
			t.Fatal(recipient, refused, err)
		}
		if count++; count == 1000 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); count != campaign.DefaultMaxRecipients || grown > 1<<20 {
		t.Errorf("after %d recipients %d bytes more", count, grown)
	}
	runtime.KeepAlive(reader)
}
