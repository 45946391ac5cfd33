"""The library: its folders, settings, tables and locks, and the clean-up after killed processes.

Listing its files lives in `inventory`.
"""
