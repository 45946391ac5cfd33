"""Serves Dagster's page behind the guard: `dagster-webserver` with all of its options, in one process.

`up` starts it. To run Dagster's services without `up`, start it in place of `dagster-webserver`.
"""

from typing import Any

import uvicorn
from dagster_webserver import cli as dagster_page

from thumb_pipeline.cli.dagster.guard import Application, Guard
from thumb_pipeline.stages.library.service_folders import never_make_folders_anew

_serve = uvicorn.run


def _serve_guarded(application: Application, *, host: str, **options: Any) -> None:
    _serve(Guard(application, bound=host), host=host, **options)


def main() -> None:
    """Runs Dagster's own command, which serves its application with `uvicorn.run`.

    The command takes no middleware from outside, and building its application from parts would need most of
    `dagster._core`. So this process replaces `uvicorn.run`: every application it serves is behind the guard.
    """
    never_make_folders_anew()
    uvicorn.run = _serve_guarded  # type: ignore[assignment]
    dagster_page.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
