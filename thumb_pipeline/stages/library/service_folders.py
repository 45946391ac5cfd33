"""Keeps a service from making anew the folders that it was started on: Dagster's records and the library.

The environment names them. `up` ends when its state is gone (`cli.dagster.places`); until then neither `up` nor the
processes that it started make a folder in the old place.
"""

import os

from thumb_pipeline.domain.layout import CAMERAS_FOLDER
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.storage.standing import never_make_anew

LIBRARY_VARIABLE = "THUMB_PIPELINE_LIBRARY"
"""The environment variable with the library's folder."""

_RECORDS_VARIABLE = "DAGSTER_HOME"


def never_make_folders_anew() -> None:
    """Keeps this process from making these folders again if they vanish; each process of a service calls it first."""
    records, library = os.environ.get(_RECORDS_VARIABLE), os.environ.get(LIBRARY_VARIABLE)
    never_make_anew([*([records] if records else []), *([inside(library, CAMERAS_FOLDER)] if library else [])])
