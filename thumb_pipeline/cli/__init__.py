"""The command `thumb-pipeline`: one module a command. What the commands do is in `stages`; Dagster only in `runs`."""

from thumb_pipeline.cli.app import main

__all__ = ["main"]
