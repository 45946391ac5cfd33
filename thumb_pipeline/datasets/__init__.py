"""The Parquet tables: what is in them, how a slice of one is read, how rows are merged into it."""
