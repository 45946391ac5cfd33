"""Opens files in worker processes: which can be adopted, which are damaged, what unclaimed ones are."""
