"""Checks that names fit together: a policy asks only for variants that exist, no two variants write the same files."""

import re
from collections.abc import Iterator

from thumb_pipeline.domain.layout import is_camera_folder, parse_key
from thumb_pipeline.domain.policy import Mode
from thumb_pipeline.domain.settings.policy_tables import PolicyTable
from thumb_pipeline.domain.settings.resolution import SMALL
from thumb_pipeline.domain.settings.toml_file import Settings


def faults(settings: Settings) -> Iterator[str]:
    """A sentence for each name that does not fit, with its key and the remedy."""
    yield from _shared_files(settings)
    yield from _unknown_names(settings)


def _shared_files(settings: Settings) -> Iterator[str]:
    taken: dict[tuple[str, str, str], str] = {}
    for name, spec in settings.specs.items():
        place = (spec.folder.casefold(), spec.tag, spec.extension)
        if place in taken:
            yield (
                f'variants.{name}.tag = "{spec.tag}": variant {taken[place]} writes the same files in '
                f"{spec.folder}/; give one of the two another tag or folder"
            )
        taken.setdefault(place, name)


def _unknown_names(settings: Settings) -> Iterator[str]:
    for name in settings.variants:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            yield f"variants.{name}: use a small letter, then small letters, digits, '_' and '-', 32 at most"
    for camera in settings.cameras:
        if not is_camera_folder(camera):
            yield f'cameras."{camera}": name the camera\'s folder, such as cameras."camera-1"'
    for key in settings.timelapses:
        try:
            parse_key(key)
        except ValueError:
            yield f'timelapses."{key}": name it as timelapses."camera-1/timelapse-2"'
    yield from _unknown_variants(settings)


def _unknown_variants(settings: Settings) -> Iterator[str]:
    known = ", ".join(settings.variants)
    for where, policy in _policies(settings):
        for key, names in (("variants", policy.variants or ()), ("retention", policy.retention)):
            for name in (name for name in names if name not in settings.variants):
                yield f'{where}.{key} has "{name}": no such variant; there are {known}'
        is_about_smalls = policy.small_generation_mode not in (None, Mode.ALL) or policy.purge_smalls_on_completion
        if is_about_smalls and SMALL not in settings.variants:
            yield f'{where} is about smalls, but there is no variant "{SMALL}"; remove that line'


def _policies(settings: Settings) -> Iterator[tuple[str, PolicyTable]]:
    yield "policy", settings.policy
    yield from ((f'cameras."{name}".policy', table.policy) for name, table in settings.cameras.items())
    yield from ((f'timelapses."{name}".policy', table.policy) for name, table in settings.timelapses.items())
