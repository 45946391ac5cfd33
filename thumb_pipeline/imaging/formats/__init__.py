"""What a file is, by its bytes: its format, the tags in it, whether it ends too early."""
