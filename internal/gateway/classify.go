package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

// ClassifyStatus is the closed table of HTTP statuses:
//
//	200-299                                          accepted
//	401                                              rejected, refused_credentials
//	403                                              rejected, forbidden
//	400 402 404 405 406 410 411 413 414 415 422 451  rejected, refused
//	429                                              rate_limited
//	300-399                                          unknown, redirect (not followed)
//	500-599                                          unknown, server_error
//	everything else                                  unknown, ambiguous_status
//
// A 4xx that is not in the table is in doubt on purpose: 408, 425 and 499 are also written by proxies after the
// request went on, 409 may mean "already have it", 421 speaks of the connection and 407 of a proxy.
func ClassifyStatus(status int) (Class, Reason) {
	switch status {
	case http.StatusUnauthorized:
		return Rejected, RefusedCredentials
	case http.StatusForbidden:
		return Rejected, Forbidden
	case http.StatusBadRequest, http.StatusPaymentRequired, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusGone, http.StatusLengthRequired, http.StatusRequestEntityTooLarge,
		http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusUnavailableForLegalReasons:
		return Rejected, Refused
	case http.StatusTooManyRequests:
		return RateLimited, TooManyRequests
	}
	switch {
	case status >= 200 && status <= 299:
		return Accepted, None
	case status >= 300 && status <= 399:
		return Unknown, Redirect
	case status >= 500 && status <= 599:
		return Unknown, ServerError
	}
	return Unknown, AmbiguousStatus
}

// classifyFailure is the table of calls that ended without an HTTP status. The class follows from the evidence
// alone; the error only chooses the reason. httptrace's WroteHeaders and WroteRequest decide nothing: both come when
// the request is in net/http's buffer, so they are also seen of a request of which no byte went out.
func classifyFailure(err error, seen Evidence, counted bool) (Class, Reason) {
	switch {
	case !seen.Connected:
		return NotSent, reasonNotConnected(err)
	case counted && seen.BytesWritten == 0 && !seen.FirstByte:
		if errors.Is(err, context.Canceled) {
			return NotSent, Cancelled
		}
		return NotSent, NothingWritten
	default:
		return Unknown, reasonInDoubt(err, seen)
	}
}

func reasonNotConnected(err error) Reason {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return Cancelled
	case isTimeout(err):
		return ConnectTimeout
	case errors.As(err, &dns):
		return DNSFailed
	case isTLS(err):
		return TLSFailed
	default:
		return ConnectFailed
	}
}

func reasonInDoubt(err error, seen Evidence) Reason {
	switch {
	case errors.Is(err, context.Canceled):
		return Cancelled
	case isTimeout(err):
		return Timeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return ConnectionReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isServerClosedIdle(err):
		return UnexpectedEOF
	case seen.FirstByte:
		return MalformedReply
	default:
		return ConnectionLost
	}
}

// isServerClosedIdle recognises net/http's errServerClosedIdle by its text, because it is not exported: the peer
// closed a reused connection while the request was on its way. Only the reason depends on it, never the class.
func isServerClosedIdle(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == "http: server closed idle connection" {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func isTLS(err error) bool {
	var (
		failed      *handshakeError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
	)
	return errors.As(err, &failed) || errors.As(err, &record) || errors.As(err, &alert) ||
		errors.As(err, &certificate) || errors.As(err, &authority)
}

// details are fixed sentences: an error's own text may repeat bytes of the gateway's answer.
var details = map[Reason]string{
	BadReply:           "accepted, but the answer held no usable messageId",
	RefusedCredentials: "the gateway refused the token; check GATEWAY_TOKEN",
	Forbidden:          "the gateway forbids this send",
	Refused:            "the gateway refused the message",
	TooManyRequests:    "the gateway asks the account to rest",
	InvalidRequest:     "the message can't be made into a request",
	ConnectFailed:      "no connection to the gateway",
	DNSFailed:          "the gateway's name was not resolved; check GATEWAY_URL",
	TLSFailed:          "no TLS session with the gateway",
	ConnectTimeout:     "no connection to the gateway in time",
	NothingWritten:     "the connection took no byte of the request",
	Cancelled:          "the call was cancelled",
	Timeout:            "no answer within the deadline",
	ConnectionReset:    "the connection was reset before an answer",
	UnexpectedEOF:      "the connection was closed before an answer",
	MalformedReply:     "the answer was not HTTP",
	ConnectionLost:     "the connection failed before an answer",
	ServerError:        "the gateway or a proxy failed",
	Redirect:           "the gateway redirected; redirects are not followed",
	AmbiguousStatus:    "the status does not say whether the message was taken",
}
