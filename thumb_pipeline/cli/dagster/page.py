"""Serves Dagster's page behind the guard: `dagster-webserver` with all of its options, in one process.

`up` starts it; whoever runs Dagster's services without `up` starts it in place of `dagster-webserver`.
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
    """Runs Dagster's own command, which serves whatever it has made by `uvicorn.run`.

    It takes no middleware from outside, and made from its parts it would need most of `dagster._core`. So the one call
    that serves anything in this process puts the guard before it, whatever Dagster calls it with.
    """
    never_make_folders_anew()
    uvicorn.run = _serve_guarded  # type: ignore[assignment]
    dagster_page.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
