"""Runs Dagster's daemon with all of its options, in a process that never recreates records that are gone.

`up` starts it.
"""

from importlib.metadata import entry_points

from thumb_pipeline.stages.library.service_folders import never_make_folders_anew


def main() -> None:
    """Runs the command `dagster-daemon`."""
    never_make_folders_anew()
    [command] = entry_points(group="console_scripts", name="dagster-daemon")
    command.load()()


if __name__ == "__main__":
    main()
