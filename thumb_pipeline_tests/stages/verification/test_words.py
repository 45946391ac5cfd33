"""Verdicts in words: nothing that is wrong goes unsaid."""

import pytest

from thumb_pipeline.datasets.schemas import VERDICTS
from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.verification import words
from thumb_pipeline_tests.stages.archives import Archive
from thumb_pipeline_tests.stages.removals import planned
from thumb_pipeline_tests.stages.verification.test_verify import verified

pytestmark = pytest.mark.quick

ONLY_THUMBNAILS = '[variants.thumbnail]\nfolder = "thumbnails"\ntag = "thumb"\nmax_width_px = 16\nmax_height_px = 12\n'


def test_files_of_a_variant_that_the_settings_dropped_are_told(done: Archive) -> None:
    (done.root / "thumbs.toml").write_text(ONLY_THUMBNAILS)
    specs = open_library(str(done.root)).settings.specs
    said = words.sentence(verified(done).verdicts, specs)
    assert said == "2/2 thumbnails valid; smalls, which the settings do not name: 2 orphan"


def test_of_nothing_the_sentence_still_names_the_variants() -> None:
    assert words.sentence(VERDICTS.empty(), ["small"]) == "0/0 smalls valid"


def test_a_sweep_counts_what_it_leaves_to_a_change_of_policy(done: Archive) -> None:
    done.settings(more='[policy]\nvariants = ["thumbnail"]')
    assert (planned(done).files.height, planned(done).n_by_policy) == (0, 2)
    by_policy = planned(done, by_policy=True)
    assert (by_policy.files.height, by_policy.n_by_policy) == (2, 0)
