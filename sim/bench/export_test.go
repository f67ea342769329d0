package bench

// For tests of what is pure.
var (
	Median     = median
	Percentile = percentile
	Ratios     = ratios
	Amount     = amount
	Compared   = compared
	Limited    = limited
	Missing    = missing
)
