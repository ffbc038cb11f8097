package sqstest

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Marks of the transport type in the digest of attributes. See "Calculating the
// MD5 message digest for message attributes" in the SQS developer guide.
const (
	md5StringMark = 1
	md5BinaryMark = 2
)

func md5OfBody(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes returns "" for no attributes, as SQS leaves the member out.
func md5OfAttributes(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	names := make([]string, 0, len(attributes))
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)

	var b []byte
	for _, name := range names {
		a := attributes[name]
		b = appendWithLength(b, name)
		b = appendWithLength(b, a.DataType)
		if a.binary() {
			b = append(b, md5BinaryMark)
			b = appendWithLength(b, string(a.BinaryValue))
		} else {
			b = append(b, md5StringMark)
			b = appendWithLength(b, a.StringValue)
		}
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func appendWithLength(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// binary says whether the value is in BinaryValue. The type is Binary or
// Binary.label; everything else travels as text.
func (a Attribute) binary() bool {
	return a.DataType == "Binary" || strings.HasPrefix(a.DataType, "Binary.")
}
