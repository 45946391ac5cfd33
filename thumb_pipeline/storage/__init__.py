"""Bytes on disk: listing folders, publishing files whole, locks that die with their process."""
