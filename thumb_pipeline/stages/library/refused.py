"""What is refused before anything is changed, and settings that cannot be used: the words for it.

Which refusals there are besides is in `errors`; who refuses what, everywhere.
"""

from dataclasses import dataclass
from datetime import datetime


class Refused(Exception):
    """Nothing was done and nothing changed; the message says what to do first."""


class SettingsUnusable(Refused):
    """The library is there, and what its `thumbs.toml` says cannot be used; one line for each fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsTrouble:
    """`thumbs.toml` cannot be used, and earlier settings are in force instead.

    Attributes:
        faults: what is wrong with it, each with the file's path and the remedy.
        in_force_since: when the settings that are in force were kept.
    """

    faults: tuple[str, ...]
    in_force_since: datetime

    @property
    def consequence(self) -> str:
        """What that means meanwhile."""
        return f"the settings of {self.in_force_since:%Y-%m-%d %H:%M} UTC stay in force until that is put right"

    def __str__(self) -> str:
        return "\n".join((*self.faults, self.consequence))
