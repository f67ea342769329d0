package bench

// Pure functions, for tests.
var (
	Median     = median
	Percentile = percentile
	Ratios     = ratios
	Amount     = amount
	Compared   = compared
	Limited    = limited
	Missing    = missing
)
