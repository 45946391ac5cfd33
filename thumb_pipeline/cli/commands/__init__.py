"""The commands, one module each: it reads options, calls a stage or a run, and prints. The work is in `stages`."""
