package cost

import (
	"slices"
	"time"
)

// key is what an entry is found by, besides the time.
type key struct{ provider, model, zone, tier string }

// found is a price with the factors that lead to it.
type found struct {
	entry      *entry
	zone, tier factor
}

// find looks for the price of a call. Missing says what the table lacks; it is empty if there is a price.
func (t Table) find(c Call) (f found, missing string) {
	zone, tier := c.Zone, c.Tier
	if zone == "" {
		zone = global
	}
	if slices.Contains(standardTiers, tier) {
		tier = standard
	}
	c.Zone, c.Tier = zone, tier // factors match what is meant
	missing = MissingEntry
	for _, z := range []string{zone, global} { // twice the same is no harm
		for _, s := range []string{tier, standard} {
			e := t.at(key{c.Provider, c.Model, z, s}, c.At)
			if e == nil {
				continue
			}
			f, lacks := t.factorsFor(c, e)
			if lacks == "" {
				return f, ""
			}
			missing = lacks
		}
	}
	return found{}, missing
}

// factorsFor is what makes an entry's price that of a call in another zone or tier.
func (t Table) factorsFor(c Call, e *entry) (f found, missing string) {
	f = found{entry: e, zone: one, tier: one}
	if e.zone != c.Zone {
		i := slices.IndexFunc(t.zones, func(z zoneFactor) bool { return z.matches(c) })
		if i < 0 {
			return f, MissingZone
		}
		f.zone = t.zones[i].factor
	}
	if e.tier != c.Tier {
		i := slices.IndexFunc(t.tiers, func(s tierFactor) bool { return s.tier == c.Tier && s.matches(c) })
		if i < 0 {
			return f, MissingTier
		}
		f.tier = t.tiers[i].factor
	}
	return f, ""
}

// at is the entry that holds at a time, or nil.
func (t Table) at(k key, when time.Time) *entry {
	for _, e := range t.byKey[k] {
		if !when.Before(e.from) && (e.to.IsZero() || when.Before(e.to)) {
			return e
		}
	}
	return nil
}
