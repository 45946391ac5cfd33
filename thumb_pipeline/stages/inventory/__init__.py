"""What exists: lists sources, dates them, waits until they are whole, and records what is accepted."""
