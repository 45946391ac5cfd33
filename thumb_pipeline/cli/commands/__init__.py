"""The commands, one module each: options, one call of a stage or of a run, sentences. What they do is in `stages`."""
