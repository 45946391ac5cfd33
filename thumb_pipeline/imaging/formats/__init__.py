"""What a file's bytes say: its format, the tags in it, whether it ends too early."""
