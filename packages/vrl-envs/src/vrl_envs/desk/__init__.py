"""A stand-in for LOMPO's real desk drawer."""
