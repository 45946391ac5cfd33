"""Use cases: values and adapters in, a result out. Nothing here knows Dagster or the terminal."""
