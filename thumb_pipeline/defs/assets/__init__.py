"""The assets: what the pipeline keeps, one module for each stage."""
