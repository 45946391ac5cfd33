"""Brings files and records back together without rendering."""
