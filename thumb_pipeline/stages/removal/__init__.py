"""Sweep and purge, from the plan to the trash and back; timelapses of which nothing is left."""
