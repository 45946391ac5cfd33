"""How runs work together with Dagster and with each other: lanes, leases, refusals, stopping, backfills."""
