"""The one state of every variant: how it is found, kept, and shown in words, reports and checks."""
