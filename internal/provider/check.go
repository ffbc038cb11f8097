package provider

import (
	"bytes"
	"context"
	"net/http"
)

// CheckState says what a [Checker] found.
type CheckState string

// The states.
const (
	CheckPassed       CheckState = "passed"        // it answers, takes the credential, and has the model
	CheckUnreachable  CheckState = "unreachable"   // no answer
	CheckRefused      CheckState = "refused"       // the key or the identity
	CheckMissingModel CheckState = "missing_model" // it answers, and has no such model or deployment
	CheckWrongAddress CheckState = "wrong_address" // something answers that is not the provider
	CheckUnclear      CheckState = "unclear"       // it answers; what it says is none of these
)

// CheckResult is fit to be shown: it holds nothing that a provider wrote but a known code.
type CheckResult struct {
	State  CheckState
	Class  Class  // of the answer that decided
	Status int    // of it; 0: none
	Code   string // of it, if it is a known word
}

// Checker says whether a target can be asked, at no cost.
type Checker interface {
	Check(ctx context.Context) CheckResult
}

// probe is one question of a check that no model has to answer.
type probe struct {
	method, url string
	body        []byte
	wants       func(Result) CheckState // passed: go on with the next
}

// Check asks for what costs nothing. OpenAI has an address for a single model. Azure's list of models does not
// tell of deployments, so there a deployment is sent a request without messages: one that exists refuses it (400)
// before its model begins, one that does not is not found.
func (c *Chat) Check(ctx context.Context) CheckResult {
	var found CheckResult
	for _, p := range c.probes {
		result := c.ask(ctx, p)
		found = CheckResult{State: p.wants(result), Class: result.Class, Status: result.Status, Code: result.Code}
		if found.State != CheckPassed {
			return found
		}
	}
	return found
}

func (c *Chat) ask(ctx context.Context, p probe) Result {
	request, err := http.NewRequestWithContext(ctx, p.method, p.url, bytes.NewReader(p.body))
	if err != nil {
		return Classify(Exchange{Provider: c.target.Provider, Err: localError{InvalidRequest, err}})
	}
	request.Header.Set("Content-Type", "application/json")
	if err := c.authorise(ctx, request.Header); err != nil {
		return Classify(Exchange{Provider: c.target.Provider, Err: err, Context: ended(ctx)})
	}
	seen := exchange(request, c.http.Do)
	seen.Provider = c.target.Provider
	if seen.Status == http.StatusOK && seen.Err == nil && bytes.HasPrefix(bytes.TrimSpace(seen.Body), []byte("{")) {
		return Result{Class: Completed, Status: seen.Status} // a list, not a text
	}
	return Classify(seen)
}

// theModel reads the answer to a question for one model.
func theModel(r Result) CheckState {
	if r.Class == NotFound && missingWords[r.Code] {
		return CheckMissingModel
	}
	return theSurface(r)
}

// theSurface reads the answer to a question for the list of models.
func theSurface(r Result) CheckState {
	switch {
	case r.Class == Auth:
		return CheckRefused
	case r.Status == 0:
		return CheckUnreachable
	case r.Class == Completed, r.Class == RateLimited:
		return CheckPassed
	case r.Class == NotFound, r.Status == http.StatusOK, r.Status >= 300 && r.Status <= 399:
		return CheckWrongAddress
	}
	return CheckUnclear
}

// theDeployment reads the answer to a request without messages.
func theDeployment(r Result) CheckState {
	switch r.Class {
	case NotFound:
		return CheckMissingModel
	case InvalidRequest:
		return CheckPassed
	}
	return theSurface(r)
}
