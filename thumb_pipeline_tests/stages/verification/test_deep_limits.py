"""Deep verification and the limits of rendering, which are for sources."""

import pytest

from thumb_pipeline_tests.stages.archives import Archive
from thumb_pipeline_tests.stages.verification.test_deep import counts, verified

pytestmark = pytest.mark.quick


def test_a_lowered_limit_for_sources_makes_no_variant_corrupt(done: Archive) -> None:
    done.settings(rendering="max_megapixels = 0.0005")
    assert counts(verified(done, deep=True)) == {"valid": 2}
