"""What the UI shows of results: metadata, tables, reports."""
