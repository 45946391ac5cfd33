"""What a service was started on, as its environment says: Dagster's records and the library, which it never makes anew.

`up` ends when its state is gone (`cli.dagster.places`); until then, and in what it started, nothing takes the old
place.
"""

import os

from thumb_pipeline.domain.layout import CAMERAS_FOLDER
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.storage.standing import never_make_anew

LIBRARY_VARIABLE = "THUMB_PIPELINE_LIBRARY"
"""Names the folder of the library."""

_RECORDS_VARIABLE = "DAGSTER_HOME"


def never_make_folders_anew() -> None:
    """For each process of a service, before it does anything: what is gone from then on stays gone for it."""
    records, library = os.environ.get(_RECORDS_VARIABLE), os.environ.get(LIBRARY_VARIABLE)
    never_make_anew([*([records] if records else []), *([inside(library, CAMERAS_FOLDER)] if library else [])])
