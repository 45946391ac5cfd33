"""Everything that is Dagster's: what it calls and how it calls the stages."""
