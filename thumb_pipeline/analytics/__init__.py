"""Queries over the tables, as functions from frames to frames. Reading and writing tables is elsewhere."""
