package db

import (
	"context"
	"fmt"
	"time"
)

// A lease makes one process at a time do what is done for the whole fleet. It keeps others from the same work; it
// is no lock: what is done under it must be right even if another one does it, too.
type lease string

const (
	leaseObserve   lease = "observe"
	leaseReconcile lease = "reconcile"
)

// hold takes the lease, or extends it, unless another one holds it. One that ends later than it can was taken before the
// database's clock was set back, and would keep everybody away until then.
func (s *Store) hold(ctx context.Context, l lease, holder string, length time.Duration) (held bool, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE fleet_leases SET holder = $2, until = hybrid_clock() + $3::interval
		WHERE task = $1 AND (holder = $2 OR until < hybrid_clock() OR until > hybrid_clock() + $3::interval)`, string(l), holder, length)
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", l, err)
	}
	return tag.RowsAffected() == 1, nil
}

// letGo lets another one take the lease at once.
func (s *Store) letGo(ctx context.Context, l lease, holder string) error {
	if _, err := s.pool.Exec(ctx, `UPDATE fleet_leases SET until = 'epoch' WHERE task = $1 AND holder = $2`, string(l), holder); err != nil {
		return fmt.Errorf("lease %s: %w", l, err)
	}
	return nil
}

// BeObserver makes this process the one that observes the fleet for the given time, unless another one is.
func (s *Store) BeObserver(ctx context.Context, worker string, length time.Duration) (is bool, err error) {
	return s.hold(ctx, leaseObserve, worker, length)
}

// EndObserver lets another process observe the fleet at once.
func (s *Store) EndObserver(ctx context.Context, worker string) error {
	return s.letGo(ctx, leaseObserve, worker)
}
