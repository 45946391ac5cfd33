"""The command `thumb-pipeline`: `commands` has a module for each command, and only `dagster` talks to Dagster."""

from thumb_pipeline.cli.app import main

__all__ = ["main"]
