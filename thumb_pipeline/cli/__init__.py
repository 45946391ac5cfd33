"""The command `thumb-pipeline`: `commands`, one module each, and `dagster`, the only place here that talks to it."""

from thumb_pipeline.cli.app import main

__all__ = ["main"]
