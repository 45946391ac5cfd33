"""What the words mean: sources, variants, policies, names, plans. Pure values and functions; no I/O, no clock."""
