"""The command line's side of Dagster: its instance, runs and services, and the guard in front of its page."""
