"""Watches the folders of cameras, and renders new captures as they come."""
