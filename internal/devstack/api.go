package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/apikey"
)

// API is the campaign API with the console, as a process of production has it.
type API struct {
	Serve func(ctx context.Context, listener net.Listener) error // until ctx ends
	Close func()
}

// keyName is what the keys of dev stacks are called. Each start makes one, and revokes those of earlier ones.
const keyName = "huntaze dev"

// startAPI serves the API and the console, and makes a key for them.
func (s *Stack) startAPI(ctx context.Context) error {
	if s.options.API == nil {
		return nil
	}
	key, err := s.newKey(ctx)
	if err != nil {
		return fmt.Errorf("a key of the API: %w", err)
	}
	part, err := s.options.API(ctx, s.at, s.logger.With("part", "api"))
	if err != nil {
		return err
	}
	listener, err := listenOn(s.options.HTTPAddr)
	if err != nil {
		part.Close()
		return err
	}
	s.apiURL, s.apiKey = "http://"+listener.Addr().String(), key
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := part.Serve(lifetime, listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("the API ended", "error", err)
		}
	})
	s.onStop("API", func(context.Context) error { end(); serving.Wait(); part.Close(); return nil })
	s.started("Console", "real, with the campaign API", s.apiURL)
	return nil
}

// listenOn takes the address, or any port of this machine when it is taken.
func listenOn(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if isTaken(err) || addr == "" {
		listener, err = net.Listen("tcp", loopback(0))
	}
	if err != nil {
		return nil, fmt.Errorf("HTTP_ADDR %s: %w", addr, err)
	}
	return listener, nil
}

// newKey makes an admin's key that ends with this run.
func (s *Stack) newKey(ctx context.Context) (string, error) {
	if err := s.revokeKeys(ctx); err != nil {
		return "", err
	}
	key := apikey.New()
	hash := key.Hash()
	if _, err := s.database.store.CreateAPIKey(ctx, db.NewAPIKey{ID: key.ID, Name: keyName, SecretHash: hash[:], Admin: true, CreatedBy: keyName}); err != nil {
		return "", err
	}
	s.onStop("key of the API", s.revokeKeys)
	return key.Reveal(), nil
}

func (s *Stack) revokeKeys(ctx context.Context) error {
	keys, err := s.database.store.APIKeys(ctx, 1000)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name == keyName && k.CreatedBy == keyName && k.RevokedAt == nil {
			if _, err := s.database.store.RevokeAPIKey(ctx, k.ID); err != nil && !errors.Is(err, db.ErrNoAPIKey) {
				return err
			}
		}
	}
	return nil
}
