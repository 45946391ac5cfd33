"""The values and rules of sources, variants, policies, names, plans. Pure values and functions; no I/O, no clock."""
