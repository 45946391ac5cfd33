"""The one state of every variant: found, kept, and told in words, reports and checks."""
