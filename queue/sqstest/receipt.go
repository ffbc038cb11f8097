package sqstest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// receipt names one delivery of one message. It travels as an opaque handle that
// describes itself, so that the handle of a message which was deleted long ago
// can still be told from garbage without remembering it.
type receipt struct {
	queue    uint64 // queue.uid
	message  uint64 // message.seq
	delivery uint64 // message.delivery at the time
}

const (
	receiptFields = 3 * 8
	receiptSize   = receiptFields + 8
)

func (r receipt) handle() string {
	var b [receiptSize]byte
	binary.BigEndian.PutUint64(b[0:], r.queue)
	binary.BigEndian.PutUint64(b[8:], r.message)
	binary.BigEndian.PutUint64(b[16:], r.delivery)
	copy(b[receiptFields:], receiptChecksum(b[:receiptFields]))
	return base64.StdEncoding.EncodeToString(b[:])
}

func parseReceipt(handle string) (receipt, bool) {
	b, err := base64.StdEncoding.DecodeString(handle)
	if err != nil || len(b) != receiptSize {
		return receipt{}, false
	}
	if string(receiptChecksum(b[:receiptFields])) != string(b[receiptFields:]) {
		return receipt{}, false
	}
	return receipt{
		queue:    binary.BigEndian.Uint64(b[0:]),
		message:  binary.BigEndian.Uint64(b[8:]),
		delivery: binary.BigEndian.Uint64(b[16:]),
	}, true
}

// receiptChecksum finds damage, not malice: this server has no secrets.
func receiptChecksum(fields []byte) []byte {
	sum := sha256.Sum256(fields)
	return sum[:receiptSize-receiptFields]
}
