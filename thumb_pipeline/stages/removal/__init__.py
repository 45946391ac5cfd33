"""Sweep and purge, from the plan to the trash and back; and retiring timelapses of which nothing is left."""
