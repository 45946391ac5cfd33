"""Which variants a timelapse asks for: the rule of each variant, since when it holds, and the captures left out.

`settings` reads the rules from the file; `analytics.policy` applies them to a table of sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Mode(StrEnum):
    """Which of a timelapse's captures must have a variant."""

    ALL = "all"
    LATEST_ONLY = "latest_only"  # the newest that can be rendered
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long every capture keeps a variant, and how many do afterwards.

    Attributes:
        keep_s: every capture younger than this many seconds keeps it.
        then_every_s: of older ones, the first in each period of this many seconds since 1970 UTC keeps it; None: none.
    """

    keep_s: float
    then_every_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which captures must have one variant."""

    mode: Mode = Mode.ALL
    retention: Retention | None = None


EVERY = Rule()
"""Every capture, for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """The rules for captures from one instant on; a variant without a rule is not asked for."""

    since: datetime | None
    rules: Mapping[str, Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one timelapse asks for.

    Attributes:
        eras: oldest first; the first has no beginning.
        flagged_names: sources that another program found corrupt; nothing is made of them.
        flagged_patterns: the same, as shell patterns that match whole names.
    """

    eras: tuple[Era, ...]
    flagged_names: frozenset[str] = field(default_factory=frozenset)
    flagged_patterns: tuple[str, ...] = ()

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that any capture may require, in the order of the newest era's rules."""
        names = [name for era in reversed(self.eras) for name, rule in era.rules.items() if rule.mode is not Mode.NONE]
        return tuple(dict.fromkeys(names))

    def is_plain(self, variant: str) -> bool:
        """Whether every capture must have it; then the captures need not be looked at."""
        always = all(era.rules.get(variant) == EVERY for era in self.eras)
        return always and not self.flagged_names and not self.flagged_patterns
