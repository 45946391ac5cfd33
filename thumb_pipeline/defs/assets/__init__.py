"""The assets: what the pipeline keeps, one module a stage."""
