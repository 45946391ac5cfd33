"""The settings in `thumbs.toml`: typed, bounded, and with one sentence of remedy for every fault.

`toml_file` has the file from top to bottom; its tables are in `library_tables`, `variant_tables` and `policy_tables`.
`agreement` says which names must fit together, `resolution` what holds for one timelapse. `parsing` turns the parsed
file into settings, and faults into sentences. Reading the file, and comparing its folders with those on the disk, is
done where a library is opened (`stages.library.open`).
"""

from thumb_pipeline.domain.settings.parsing import SettingsError, parse_settings
from thumb_pipeline.domain.settings.policy_tables import CameraTable, PolicyTable, RetentionTable, TimelapseTable
from thumb_pipeline.domain.settings.resolution import TimelapseSettings, for_timelapse
from thumb_pipeline.domain.settings.toml_file import Settings
from thumb_pipeline.domain.settings.variant_tables import VariantTable

__all__ = [
    "CameraTable",
    "PolicyTable",
    "RetentionTable",
    "Settings",
    "SettingsError",
    "TimelapseSettings",
    "TimelapseTable",
    "VariantTable",
    "for_timelapse",
    "parse_settings",
]
