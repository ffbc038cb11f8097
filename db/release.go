package db

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/limit"
)

// ErrLimiterDown says that the token buckets could not be read or written while the rest of the database
// answers: the fallback "rate_limiter_down" applies.
var ErrLimiterDown = errors.New("the rate limiter does not answer")

const (
	// releaseMost bounds what one release takes for one account that has no limit, or a very large one.
	releaseMost = 100
	// backupDelay is how much later than the precise wake-up (a timer in a process) its durable twin (a
	// job) is due: so much later that it does not cost a job for every token that returns.
	backupDelay = 30 * time.Second
	// stoppedLook is how often an account is looked at while the kill switch, or quiet hours that can't be read, hold it up.
	stoppedLook = 5 * time.Minute
	// lostJob is how overdue a wake-up must be to be taken for lost.
	lostJob = 2 * time.Minute
)

// Release asks for the parked messages of one account to be looked at.
type Release struct {
	UserID  string
	WakeUps []time.Time // the durable wake-ups that this is the job of
	// Bypass takes no tokens from the bucket, which is out of reach: at most Allowance messages go, and only
	// the ledger's constraint limits them.
	Bypass    bool
	Allowance int
}

// Released is the answer to a Release.
type Released struct {
	UserID  string
	Count   int  // messages on their way
	Waiting bool // more messages are parked
	Refused bool // the ledger refused tokens of this transaction's first try, and one by one they were tried again
	// How long from now on until another look is worthwhile; negative: nobody knows of a reason. Next is for
	// reasons that only this release knows of (a schedule, a rest, a recipient), NextToken for the return of
	// a token, which whoever ended its call knows as well.
	Next      time.Duration
	NextToken time.Duration
	// Unclear is why the account waits although nobody told it to: its quiet hours can't be read. Somebody must know.
	Unclear error
}

// Release gives free tokens to the best parked messages of each account, writes their attempts and enqueues
// their send jobs, in one transaction. ErrLimiterDown and ErrFailover tell what else may have to be done.
func (s *Store) Release(ctx context.Context, requests []Release) ([]Released, error) {
	var released []Released
	err := s.releasing(ctx, func(tx pgx.Tx, careful bool) error {
		var err error
		var jobs []Job
		released, jobs, err = s.releaseTx(ctx, tx, requests, careful)
		if err != nil || len(jobs) == 0 {
			return err
		}
		return s.enqueuer.EnqueueTx(ctx, tx, jobs)
	})
	return released, err
}

// releasing runs a transaction that releases messages, again when it has to be: a candidate was cancelled
// meanwhile or turned out to have been sent, or the ledger refused a token (then with care, so that the rest may go).
func (s *Store) releasing(ctx context.Context, do func(tx pgx.Tx, careful bool) error) error {
	careful := false
	for try := 1; ; try++ {
		err := s.inTx(ctx, func(tx pgx.Tx) error { return do(tx, careful) })
		switch {
		case errors.Is(err, errRefused) && !careful:
			careful = true
		case errors.Is(err, errChanged) && try < changedTries:
		default:
			return err
		}
	}
}

// changedTries bounds how often a release looks again because of a candidate. More often than that it is not a
// message that changed but one whose rows contradict each other.
const changedTries = 10

// errChanged: a candidate was cancelled, or became known as sent, between reading and writing. Nothing was written;
// look again.
var errChanged = errors.New("a message changed while it was being released")

// account is what a release knows of one account.
type account struct {
	request   Release
	wakeAt    *time.Time
	restUntil time.Time
	restCount int // rests in a row
	policy    limit.Policy
	bucket    *limit.Bucket // with the tokens of open calls for as long as those may arrive
	hopeful   *limit.Bucket // as if the open calls ended now
	wanted    int
	due       []record  // candidates whose time has come
	closing   []closing // candidates that are not sent any more
	quiet     campaign.Quiet
	unclear   error           // its quiet hours can't be read
	stopped   bool            // by the kill switch
	lanes     []campaign.Lane // of the campaigns that share the account's rate; none: the oldest goes first
	next      time.Time       // when to look again; zero: no reason of its own
	nextToken time.Time       // when the next token returns; zero: nothing waits for one
	nextHope  time.Time       // the same if the open calls end now
	released  int

	blockedUntil time.Time // now, or until when the account or the fleet rests
}

func (s *Store) releaseTx(ctx context.Context, tx pgx.Tx, requests []Release, careful bool) ([]Released, []Job, error) {
	accounts, err := lockAccounts(ctx, tx, requests)
	if err != nil || len(accounts) == 0 {
		return nil, nil, err
	}
	now, err := s.readLimits(ctx, tx, accounts)
	if err != nil {
		return nil, nil, err
	}
	if err := readCandidates(ctx, tx, accounts, now); err != nil {
		return nil, nil, err
	}
	if err := readShares(ctx, tx, accounts); err != nil {
		return nil, nil, err
	}
	choice, err := s.choose(ctx, tx, accounts, now)
	if err != nil {
		return nil, nil, err
	}
	jobs, err := s.writeChoice(ctx, tx, accounts, choice, now, careful)
	if err != nil {
		return nil, nil, err
	}
	released := make([]Released, 0, len(accounts))
	for _, a := range accounts {
		released = append(released, Released{UserID: a.request.UserID, Count: a.released, Waiting: a.waiting(),
			Next: after(a.next, now), NextToken: after(a.nextToken, now), Refused: careful, Unclear: a.unclear})
	}
	return released, jobs, nil
}

func lockAccounts(ctx context.Context, tx pgx.Tx, requests []Release) ([]*account, error) {
	byUser := map[string]Release{}
	var users []string
	for _, r := range requests {
		if _, twice := byUser[r.UserID]; !twice {
			users = append(users, r.UserID)
		}
		byUser[r.UserID] = r
	}
	slices.Sort(users)
	var accounts []*account
	var st statements
	st.exec("lock limits", "SELECT pg_advisory_xact_lock_shared($1)", int64(policyLock))
	st.query("lock accounts", into(scanAccount, func(a *account) error {
		a.request = byUser[a.request.UserID]
		accounts = append(accounts, a)
		return nil
	}), "SELECT user_id, wake_at, rest_until, rest_count FROM accounts WHERE user_id = ANY($1) ORDER BY user_id FOR UPDATE", users)
	return accounts, st.run(ctx, tx)
}

func scanAccount(row pgx.CollectableRow) (*account, error) {
	a := &account{}
	return a, row.Scan(&a.request.UserID, &a.wakeAt, &a.restUntil, &a.restCount)
}

// readLimits reads the clock, the policies and the tokens of the locked accounts, and decides how many
// messages each may send now. After a failover the whole fleet may send none.
func (s *Store) readLimits(ctx context.Context, tx pgx.Tx, accounts []*account) (now time.Time, err error) {
	var users, inBucket, inLedger []string
	byUser := map[string]*account{}
	for _, a := range accounts {
		users = append(users, a.request.UserID)
		byUser[a.request.UserID] = a
		if a.request.Bypass {
			inLedger = append(inLedger, a.request.UserID)
		} else {
			inBucket = append(inBucket, a.request.UserID)
		}
	}
	var f fleet
	var st statements
	st.query("fleet state", into(scanFleet, func(read fleet) error { f = read; return f.check() }), fleetSQL)
	st.query("limit policies", func(rows pgx.Rows) error {
		policies, err := collectPolicies(rows)
		for _, a := range accounts {
			a.policy = policies.forAccount(a.request.UserID)
			a.bucket, a.hopeful = limit.NewBucket(a.policy.Account), limit.NewBucket(a.policy.Account)
		}
		return err
	}, policiesSQL, users)
	st.query("quiet hours", func(rows pgx.Rows) error {
		var user, hours string
		_, err := pgx.ForEachRow(rows, []any{&user, &hours}, func() error {
			byUser[user].quiet, byUser[user].unclear = campaign.ParseQuiet(hours)
			return nil // the others can go
		})
		return err
	}, `SELECT user_id, hours FROM quiet_hours WHERE user_id = ANY($1)`, users)
	st.query("kill switch", func(rows pgx.Rows) error {
		var user string
		_, err := pgx.ForEachRow(rows, []any{&user}, func() error { byUser[user].stopped = true; return nil })
		return err
	}, `SELECT u FROM unnest($1::text[]) u WHERE NOT sends_enabled(u)`, users)
	if len(inLedger) > 0 {
		st.query("tokens in the ledger", into(scanHold, func(h hold) error {
			byUser[h.key].use(h, f.now)
			return nil
		}), heldTokensSQL, string(limit.ScopeAccount), inLedger)
	}
	if len(inBucket) > 0 {
		st.query("tokens", into(scanHold, func(h hold) error {
			a := byUser[h.key]
			if h.rule < len(a.policy.Account) {
				h.until = h.until.Add(a.policy.Account[h.rule].Window + a.policy.Guard)
				a.use(h, f.now)
			}
			return nil
		}), `SELECT user_id, rule, slot, busy_until FROM account_tokens WHERE user_id = ANY($1)`, inBucket)
		st.onError(limiterError)
	}
	if err := st.run(ctx, tx); err != nil {
		return now, err
	}
	for _, a := range accounts {
		a.decideWanted(f)
	}
	return f.now, nil
}

// use notes that a token of the account is in use.
func (a *account) use(h hold, now time.Time) {
	a.bucket.Add(h.rule, limit.Use{Slot: h.slot, FreeAt: h.until})
	a.hopeful.Add(h.rule, limit.Use{Slot: h.slot, FreeAt: h.atBest(a.policy.Account, a.policy.Guard, now)})
}

// decideWanted says how many messages the account may send now.
func (a *account) decideWanted(f fleet) {
	a.blockedUntil = f.now
	until := []time.Time{a.restUntil, f.frozenUntil, a.quiet.Until(f.now)}
	if a.stopped || a.unclear != nil {
		// Whoever changes that has the account looked at; this is for the case that nobody does.
		until = append(until, f.now.Add(stoppedLook))
	}
	for _, at := range until {
		if at.After(a.blockedUntil) {
			a.blockedUntil = at
		}
	}
	if a.blockedUntil.After(f.now) {
		return
	}
	a.wanted = a.bucket.Free(f.now, releaseMost)
	if a.request.Bypass {
		a.wanted = min(a.wanted, a.request.Allowance)
	}
	if a.restCount > 0 {
		a.wanted = min(a.wanted, 1) // one message finds out whether the rest was long enough
	}
}

func (a *account) waiting() bool { return !a.next.IsZero() || !a.nextToken.IsZero() }

// wake is when the durable wake-up looks for what nobody else did. A token whose call is open is awaited as if the
// call ended now: whoever makes it may be gone before it tells anybody that the token is back.
func (a *account) wake() time.Time {
	if a.next.IsZero() || !a.nextHope.IsZero() && a.nextHope.Before(a.next) {
		return a.nextHope
	}
	return a.next
}

// after is how long after now a time is: 0 when it has passed, -1 when there is none.
func after(at, now time.Time) time.Duration {
	if at.IsZero() {
		return -1
	}
	return max(0, at.Sub(now))
}

// nextLook remembers the earliest time at which another look is worthwhile.
func (a *account) nextLook(at time.Time) {
	if a.next.IsZero() || at.Before(a.next) {
		a.next = at
	}
}
