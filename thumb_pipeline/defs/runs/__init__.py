"""What a run owes to Dagster and to other runs: lanes, leases, refusals, stopping, backfills."""
