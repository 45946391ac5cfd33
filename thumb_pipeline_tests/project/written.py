"""Writes the files of the repository that are made from others, so that what they share is written once.

.venv/bin/python -m thumb_pipeline_tests.project.written
"""

from thumb_pipeline.cli.dagster.instance import instance_settings
from thumb_pipeline_tests.conftest import REPOSITORY

_FIRST_SETTING = "telemetry:"

INSTANCE_FILES = ("dagster.yaml", "deploy/postgres/dagster.yaml")
"""Their beginnings say where records are kept; the rest is that of every library's instance."""


def instance_file(name: str) -> str:
    """What one of the instance files is to be."""
    beginning, _, _ = (REPOSITORY / name).read_text(encoding="utf-8").partition(_FIRST_SETTING)
    _, first, settings = instance_settings().partition(_FIRST_SETTING)
    return beginning + first + settings


def main() -> None:
    """Writes them."""
    for name in INSTANCE_FILES:
        (REPOSITORY / name).write_text(instance_file(name), encoding="utf-8")


if __name__ == "__main__":
    main()
