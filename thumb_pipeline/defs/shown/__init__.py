"""What people see of results in the UI: metadata, tables, reports."""
