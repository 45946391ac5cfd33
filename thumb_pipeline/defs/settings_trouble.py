"""Shows in Dagster that `thumbs.toml` cannot be used: in the check `settings`, in ticks and in tags of runs.

`stages.library.settings_in_force` finds which settings apply then. Runs log the trouble when they open the library
(`resources`).
"""

import hashlib
import json
from typing import Any

import dagster as dg

from thumb_pipeline.domain.layout import SETTINGS_NAME
from thumb_pipeline.stages.library.library import Library

SETTINGS_CHECK = "settings"
CHECK_DESCRIPTION = (
    f"{SETTINGS_NAME} can be used. While it cannot, everything goes on with the last usable settings, and nothing is "
    "removed. Evaluated with the other checks, and by every tick of new_captures_sensor that sees a change."
)
SETTINGS_TAG = "thumb_pipeline/settings"
"""On runs that were requested while other settings than the file's were in force."""

_NOTE = "settings"
_OTHERS = ("attempts", "asked_at_s")  # `domain.watching.Cursor`


def evaluation(library: Library, asset: str) -> dg.AssetCheckEvaluation:
    """The present result of the check; a failure is only a warning, as nothing is lost."""
    trouble = library.trouble
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=SETTINGS_CHECK,
        passed=trouble is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{SETTINGS_NAME} is in force" if trouble is None else str(trouble),
        metadata={} if trouble is None else {"faults": dg.MetadataValue.int(len(trouble.faults))},
    )


def run_tags(library: Library) -> dict[str, str]:
    """The tags of a run that is requested now; none while the settings can be used."""
    return {} if library.trouble is None else {SETTINGS_TAG: library.trouble.consequence}


def with_trouble(library: Library, reason: str) -> str:
    """What is wrong with the settings, followed by the reason why a tick requests nothing."""
    return reason if library.trouble is None else f"{library.trouble}\n{reason}"


def is_news(library: Library, cursor: str | None) -> bool:
    """Whether the check's result differs from the one noted in the cursor."""
    return read_cursor(cursor).get(_NOTE) != _fingerprint(library)


def with_note(library: Library, cursor: str | None) -> str:
    """A sensor's cursor with the check's present result noted in it."""
    known = {name: value for name, value in read_cursor(cursor).items() if name in _OTHERS}
    return json.dumps({**known, _NOTE: _fingerprint(library)})


def read_cursor(cursor: str | None) -> dict[str, Any]:
    """The content of a sensor's cursor; empty if it is not one of ours, as anybody can set a cursor in the UI."""
    try:
        content = json.loads(cursor or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _fingerprint(library: Library) -> str:
    return "" if library.trouble is None else hashlib.sha256(str(library.trouble).encode()).hexdigest()[:16]
