"""What the command line has to do with Dagster: its instance, its runs, its services and the guard before its page."""
