"""Bytes on disk: listing folders, publishing files whole, locks that end with their process."""
