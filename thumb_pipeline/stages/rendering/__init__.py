"""Carries plans out: orders of work, chunks, retries, and how far they are."""
