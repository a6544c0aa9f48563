"""Treatment of HIV with two drugs."""
