"""The exceptions for a request that is refused before anything is changed, and for settings that cannot be used.

Any stage may raise them; which other refusals there are is in `errors`.
"""

from dataclasses import dataclass
from datetime import datetime


class Refused(Exception):
    """Nothing was done and nothing changed; the message says what to do first."""


class SettingsUnusable(Refused):
    """The library is there, but its `thumbs.toml` cannot be used; the message has one line for each fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsTrouble:
    """`thumbs.toml` cannot be used, and earlier settings are in force instead.

    Attributes:
        faults: what is wrong with the file, each with its path and the remedy.
        in_force_since: when the settings in force were kept.
    """

    faults: tuple[str, ...]
    in_force_since: datetime

    @property
    def consequence(self) -> str:
        """Which settings are in force meanwhile."""
        return f"the settings of {self.in_force_since:%Y-%m-%d %H:%M} UTC stay in force until that is put right"

    def __str__(self) -> str:
        return "\n".join((*self.faults, self.consequence))
