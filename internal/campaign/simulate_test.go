package campaign_test

import (
	"slices"
	"time"

	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
)

// This file sends message by message what a forecast only computes. It knows nothing of the forecast: tokens come
// back one by one, and each message is chosen when it goes.

// simulated is what became of a queue.
type simulated struct {
	releases []time.Time
	expired  int
}

func simulate(now time.Time, account campaign.Account, queues []campaign.Queue, until time.Time) []simulated {
	tokens := make([][]time.Time, len(account.Rules))
	for i, rule := range account.Rules {
		tokens[i] = slices.Clone(rule.InUse)
		slices.SortFunc(tokens[i], time.Time.Compare)
		for len(tokens[i]) < rule.Capacity {
			tokens[i] = slices.Insert(tokens[i], 0, time.Time{})
		}
	}
	type waiting struct {
		at       time.Time
		messages int
	}
	results := make([]simulated, len(queues))
	lanes := make([]campaign.Lane, len(queues))
	later := make([][]waiting, len(queues))
	left := make([]int, len(queues))
	for i, q := range queues {
		lanes[i] = campaign.Lane{Campaign: q.Campaign, Weight: q.Weight}
		for _, l := range append([]campaign.Later{{Messages: q.Messages}}, q.Later...) {
			at := l.At
			if q.NotBefore.After(at) {
				at = q.NotBefore
			}
			later[i] = append(later[i], waiting{at, l.Messages})
		}
	}
	clock := now
	if account.Rests.After(clock) {
		clock = account.Rests
	}
	in := map[int]bool{}
	for clock.Before(until) {
		clock = account.Quiet.Until(clock)
		next := until // the next arrival
		best := []int{}
		for i, q := range queues {
			later[i] = slices.DeleteFunc(later[i], func(w waiting) bool {
				if w.at.After(clock) {
					if w.at.Before(next) {
						next = w.at
					}
					return false
				}
				left[i] += w.messages
				return true
			})
			if !q.ExpiresAt.IsZero() && !clock.Before(q.ExpiresAt) {
				results[i].expired += left[i]
				for _, w := range later[i] {
					results[i].expired += w.messages
				}
				left[i], later[i] = 0, nil
			}
			if left[i] == 0 {
				delete(in, i)
				continue
			}
			if len(best) > 0 && q.Priority < queues[best[0]].Priority {
				best = best[:0]
			}
			if len(best) == 0 || q.Priority == queues[best[0]].Priority {
				best = append(best, i)
			}
		}
		if len(best) == 0 {
			if next.Equal(until) {
				break
			}
			clock = next
			continue
		}
		free := clock
		for i, rule := range account.Rules {
			// Of more tokens than the rule has, all but capacity-1 must be back.
			if at := tokens[i][len(tokens[i])-rule.Capacity]; at.After(free) {
				free = at
			}
		}
		if free.After(clock) {
			clock = free
			if next.Before(clock) {
				clock = next
			}
			continue
		}
		turn := make([]campaign.Lane, 0, len(best))
		for _, i := range best {
			if in[i] {
				turn = append(turn, lanes[i])
			}
		}
		for _, i := range best {
			if !in[i] {
				in[i] = true
				lanes[i] = campaign.Join(turn, lanes[i])
				turn = append(turn, lanes[i])
			}
		}
		turn = turn[:0]
		for _, i := range best {
			turn = append(turn, lanes[i])
		}
		picked := campaign.Pick(turn)
		campaign.Advance(turn, picked)
		for k, i := range best {
			lanes[i] = turn[k]
		}
		i := best[picked]
		left[i]--
		results[i].releases = append(results[i].releases, clock)
		for r, rule := range account.Rules {
			back := clock.Add(account.Latency + rule.Window + account.Guard)
			tokens[r] = tokens[r][1:]
			at, _ := slices.BinarySearchFunc(tokens[r], back, time.Time.Compare)
			tokens[r] = slices.Insert(tokens[r], at, back)
		}
	}
	return results
}
