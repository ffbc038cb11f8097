package provider

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// localError is a failure before anything was sent. Its class is known where it happens; its cause is for nobody
// but a debugger, because it may name what a token's issuer said.
type localError struct {
	class Class
	cause error
}

func (e localError) Error() string { return "provider: " + string(e.class) + " before the call" }

// bearer sends a token of Entra ID, on both of Azure's surfaces.
func bearer(credential azcore.TokenCredential, scope string) func(context.Context, http.Header) error {
	return func(ctx context.Context, h http.Header) error {
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			return localError{classOfCredential(err), err}
		}
		h.Set("Authorization", "Bearer "+token.Token)
		return nil
	}
}

// classOfCredential tells an issuer that refuses, which needs a person, from one that can't be reached.
func classOfCredential(err error) Class {
	var refused *azidentity.AuthenticationFailedError
	if errors.As(err, &refused) && refused.RawResponse != nil {
		if status := refused.RawResponse.StatusCode; status == http.StatusTooManyRequests || status >= http.StatusInternalServerError {
			return Connection
		}
		return Auth
	}
	var network net.Error
	if errors.As(err, &network) || refused != nil {
		return Connection
	}
	return Auth
}
