package cost

import (
	"fmt"
	"strings"
)

// FormatUSD writes an amount for people, exactly: "$0.014015", "-$1.50". It has at least two places.
func FormatUSD(pico int64) string {
	const perUSD = 1_000_000_000_000
	sign, amount := "", uint64(pico)
	if pico < 0 {
		sign, amount = "-", -amount // right for the smallest int64 too
	}
	fraction := fmt.Sprintf("%012d", amount%perUSD)
	return fmt.Sprintf("%s$%d.%s%s", sign, amount/perUSD, fraction[:2], strings.TrimRight(fraction[2:], "0"))
}
