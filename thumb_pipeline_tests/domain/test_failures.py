"""The closed list of reasons, and that what people read about it is true."""

import re
from pathlib import Path

from thumb_pipeline.domain.failures import FailureReason

DOCUMENT = Path(__file__).parents[2] / "docs" / "failures.md"
ROW = re.compile(r"^\| `([a-z_]+)` \|.*\| (yes|no) \|.*\|$", re.MULTILINE)


def test_every_reason_is_explained_once_in_the_order_of_the_list() -> None:
    assert [name for name, _ in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))] == [r.value for r in FailureReason]


def test_what_is_remembered_is_what_does_not_pass_by_itself() -> None:
    said = {name: answer == "yes" for name, answer in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))}
    assert said == {reason.value: not reason.is_transient for reason in FailureReason}
