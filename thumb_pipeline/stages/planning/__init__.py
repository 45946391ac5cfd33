"""Decides which variants to make and which files nothing expects: policy, applied to files and records."""
