"""The verdict on one variant file."""

from dataclasses import replace
from typing import Any

import pytest

from thumb_pipeline.domain.plans import Examined, Expectation, Reason, Verdict, judge
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.domain.variants import RENDER_REVISION, Fit, VariantSpec

pytestmark = pytest.mark.quick

SPEC = VariantSpec(name="small", tag="small", folder="smalls", max_width_px=80, max_height_px=60)
NOTE = Provenance(
    source_digest="ab" * 16,
    source_n_bytes=1000,
    source_mtime_ns=5,
    source_name_digest="cd" * 16,
    source_width_px=160,
    source_height_px=90,
    spec_fingerprint=SPEC.fingerprint,
    render_revision=RENDER_REVISION,
    version="1",
)
RIGHT = Examined(opens=True, is_whole=True, width_px=80, height_px=45, provenance=NOTE)
EXPECTED = Expectation(source_n_bytes=1000, source_mtime_ns=5, source_name_digest="cd" * 16, spec=SPEC)
FOREIGN = Examined(opens=True, is_whole=True, width_px=80, height_px=45)


def noting(**fields: Any) -> Examined:
    return replace(RIGHT, provenance=replace(NOTE, **fields))


def verdict(found: Examined, expected: Expectation = EXPECTED, *, trust: bool = False) -> Verdict:
    return judge(found, expected, trust_existing=trust)


def test_equal_bytes_of_the_source_beat_its_name_and_its_mtime() -> None:
    read = replace(EXPECTED, source_digest=NOTE.source_digest)
    assert verdict(noting(source_name_digest="ef" * 16, source_mtime_ns=6), read) == Verdict(reason=None)
    assert verdict(noting(spec_fingerprint="0" * 16), read).reason is Reason.STALE_SPEC
    assert verdict(noting(source_digest="ef" * 16, source_mtime_ns=6), read).reason is Reason.STALE_SOURCE


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_with_everything_right_is_adopted(trust: bool) -> None:
    assert verdict(RIGHT, trust=trust) == Verdict(reason=None)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Examined(opens=False), Reason.CORRUPT),
        (replace(RIGHT, is_whole=False), Reason.CORRUPT),
        (replace(RIGHT, height_px=46), Reason.CORRUPT),
        (replace(RIGHT, width_px=79), Reason.CORRUPT),
        (noting(source_width_px=90), Reason.CORRUPT),
        (noting(source_name_digest="ef" * 16), Reason.STALE_SOURCE),
        (noting(source_n_bytes=999), Reason.STALE_SOURCE),
        (noting(source_mtime_ns=6), Reason.STALE_SOURCE),
        (noting(spec_fingerprint="0" * 16), Reason.STALE_SPEC),
        (noting(render_revision=RENDER_REVISION + 1), Reason.STALE_SPEC),
        (FOREIGN, Reason.STALE_SPEC),
        (replace(FOREIGN, is_whole=False), Reason.CORRUPT),
    ],
)
def test_one_doubt_makes_a_file_again(found: Examined, reason: Reason) -> None:
    judged = verdict(found)
    assert (judged.reason, judged.is_trusted) == (reason, False)


def test_another_sources_variant_is_stale_whatever_its_recipe() -> None:
    assert verdict(noting(source_n_bytes=999, spec_fingerprint="0" * 16)).reason is Reason.STALE_SOURCE


def test_a_moved_mtime_or_another_name_lets_the_bytes_decide() -> None:
    assert verdict(noting(source_mtime_ns=6)).known_digest == NOTE.source_digest
    assert verdict(noting(source_name_digest="ef" * 16)).known_digest == NOTE.source_digest


@pytest.mark.parametrize(
    "found",
    [
        noting(source_mtime_ns=6, source_n_bytes=999),
        noting(source_mtime_ns=6, spec_fingerprint="0" * 16),
        replace(noting(source_mtime_ns=6), width_px=79),
        replace(noting(source_mtime_ns=6), is_whole=False),
    ],
)
def test_with_any_other_doubt_the_bytes_are_not_asked(found: Examined) -> None:
    assert verdict(found).known_digest is None


KNOWING = replace(EXPECTED, source_digest=NOTE.source_digest)


def test_equal_bytes_under_another_name_are_the_same_source() -> None:
    assert verdict(noting(source_name_digest="ef" * 16), KNOWING) == Verdict(reason=None)


def test_equal_bytes_under_another_mtime_are_the_same_source() -> None:
    assert verdict(noting(source_mtime_ns=6), KNOWING) == Verdict(reason=None)


def test_other_bytes_are_another_source_though_name_size_and_mtime_are_equal() -> None:
    judged = verdict(noting(source_digest="0" * 32), KNOWING)
    assert (judged.reason, judged.known_digest) == (Reason.STALE_SOURCE, None)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (noting(source_name_digest="ef" * 16, spec_fingerprint="0" * 16), Reason.STALE_SPEC),
        (replace(noting(source_name_digest="ef" * 16), width_px=79), Reason.CORRUPT),
        (replace(noting(source_name_digest="ef" * 16), is_whole=False), Reason.CORRUPT),
    ],
)
def test_equal_bytes_excuse_nothing_but_the_name(found: Examined, reason: Reason) -> None:
    assert verdict(found, KNOWING).reason is reason


def test_a_doubt_is_told_in_words() -> None:
    assert "79x45" in verdict(replace(RIGHT, width_px=79)).detail
    assert "another name" in verdict(noting(source_name_digest="ef" * 16)).detail


def test_another_programs_file_is_adopted_only_on_trust() -> None:
    assert verdict(FOREIGN, trust=True) == Verdict(reason=None, is_trusted=True)


@pytest.mark.parametrize(
    "found",
    [
        replace(FOREIGN, width_px=81),
        replace(FOREIGN, height_px=61),
    ],
)
def test_a_file_larger_than_its_box_is_not_trusted(found: Examined) -> None:
    assert verdict(found, trust=True) == Verdict(reason=Reason.STALE_SPEC)


def test_an_open_side_of_the_box_trusts_any_length() -> None:
    expected = replace(EXPECTED, spec=replace(SPEC, max_height_px=None))
    assert verdict(replace(FOREIGN, height_px=5000), expected, trust=True).is_trusted


def test_what_does_not_decode_is_not_trusted() -> None:
    assert verdict(replace(FOREIGN, is_whole=False), trust=True) == Verdict(reason=Reason.CORRUPT)


def test_our_own_stale_file_is_not_adopted_on_trust() -> None:
    assert verdict(noting(spec_fingerprint="0" * 16), trust=True).reason is Reason.STALE_SPEC


def test_names_of_a_recipe_do_not_make_its_files_stale() -> None:
    renamed = replace(SPEC, name="other", tag="other", folder="others")
    assert verdict(RIGHT, replace(EXPECTED, spec=renamed)) == Verdict(reason=None)


def test_every_change_of_the_recipe_makes_files_stale() -> None:
    for changed in (
        replace(SPEC, max_width_px=81),
        replace(SPEC, max_height_px=None),
        replace(SPEC, fit=Fit.PAD),
        replace(SPEC, quality=84),
        replace(SPEC, background=(0, 0, 0)),
        replace(SPEC, progressive=True),
        replace(SPEC, enlarge=True),
    ):
        assert verdict(RIGHT, replace(EXPECTED, spec=changed)).reason is Reason.STALE_SPEC
