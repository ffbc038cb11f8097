package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// crashes kills a random worker with -9 and starts another in its place, again and again.
type crashes struct {
	fleet *fleet
	every time.Duration // on average
	most  int           // 0: until end is called

	random *rand.Rand
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
	count  int
}

// crash begins to kill workers of the fleet, except the spared ones. It keeps as many running as there are now.
func (f *fleet) crash(every time.Duration, most int, settings ...string) *crashes {
	c := &crashes{fleet: f, every: every, most: most, random: newRandom(f.t), stop: make(chan struct{}), done: make(chan struct{})}
	go c.run(settings)
	f.t.Cleanup(func() { c.end() })
	return c
}

func (c *crashes) run(settings []string) {
	defer close(c.done)
	for c.most == 0 || c.count < c.most {
		select {
		case <-time.After(c.every/2 + time.Duration(c.random.Int64N(int64(c.every)))):
		case <-c.stop:
			return
		}
		alive := slices.DeleteFunc(c.fleet.alive(), func(p *process) bool { return slices.Contains(c.fleet.spared, p) })
		if len(alive) == 0 {
			return
		}
		alive[c.random.IntN(len(alive))].kill()
		c.count++
		c.fleet.launch(settings...)
	}
}

// await returns when all kills are done.
func (c *crashes) await() int {
	<-c.done
	return c.count
}

// end stops killing and says how many kills there were.
func (c *crashes) end() int {
	c.once.Do(func() { close(c.stop) })
	<-c.done
	return c.count
}

// alive lists the processes that run.
func (f *fleet) alive() (alive []*process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		if p.running() {
			alive = append(alive, p)
		}
	}
	return alive
}

// roleWithout makes a database role that may do everything a worker does, except touch one table, and returns the
// database's URL for it.
func (f *fleet) roleWithout(table string) string {
	f.t.Helper()
	parsed, err := url.Parse(f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	name := fmt.Sprintf("e2e_%s_%08x", strings.TrimPrefix(parsed.Path, "/")[max(0, len(parsed.Path)-40):], rand.Uint32())
	role := pgx.Identifier{name}.Sanitize()
	f.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'password'`)
	f.t.Cleanup(func() { // roles belong to the whole server
		if _, err := f.pool.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
			f.t.Errorf("drop the role: %v", err)
		}
	})
	for _, schema := range []string{"public", "river"} {
		f.exec(`GRANT USAGE ON SCHEMA ` + schema + ` TO ` + role)
		f.exec(`GRANT ALL ON ALL TABLES IN SCHEMA ` + schema + ` TO ` + role)
		f.exec(`GRANT ALL ON ALL SEQUENCES IN SCHEMA ` + schema + ` TO ` + role)
	}
	f.exec(`REVOKE ALL ON ` + pgx.Identifier{table}.Sanitize() + ` FROM ` + role)
	parsed.User = url.UserPassword(name, "password")
	return parsed.String()
}
