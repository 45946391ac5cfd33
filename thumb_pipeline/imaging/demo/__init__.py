"""Draws the pictures of the demo: a sky over a landscape."""
