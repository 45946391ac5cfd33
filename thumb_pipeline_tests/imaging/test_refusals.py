"""What decoders complain about, as reasons."""

import io
import zlib

import pytest
from PIL import Image

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.imaging.refusals import Refused, decoding
from thumb_pipeline_tests.imaging.pictures import saved, scene

pytestmark = pytest.mark.quick

WHOLE = saved(scene())


@pytest.mark.parametrize(
    ("error", "data", "reason"),
    [
        (OSError("image file is truncated (5 bytes not processed)"), WHOLE, FailureReason.TRUNCATED),
        (OSError("broken data stream"), WHOLE, FailureReason.DAMAGED),
        (OSError("broken data stream"), WHOLE[:-10], FailureReason.TRUNCATED),
        (OSError(5, "Input/output error"), WHOLE, FailureReason.UNREADABLE),
        (OSError("out of memory error when reading image file"), WHOLE, FailureReason.OUT_OF_MEMORY),
        (SyntaxError("cannot handle 12-bit layers"), WHOLE, FailureReason.UNSUPPORTED),
        (MemoryError(), WHOLE, FailureReason.OUT_OF_MEMORY),
        (EOFError("failed to decode next frame"), WHOLE, FailureReason.TRUNCATED),
        (zlib.error("incorrect header check"), WHOLE, FailureReason.DAMAGED),
        (ZeroDivisionError(), WHOLE, FailureReason.DAMAGED),
        (Image.DecompressionBombError("too many"), WHOLE, FailureReason.TOO_LARGE),
    ],
)
def test_a_complaint_becomes_its_reason(error: Exception, data: bytes, reason: FailureReason) -> None:
    with pytest.raises(Refused) as refusal, decoding(io.BytesIO(data), "JPEG"):
        raise error
    assert refusal.value.failure.reason is reason
    assert refusal.value.failure.detail.startswith(type(error).__name__)


def test_the_decoders_own_words_are_one_line() -> None:
    with pytest.raises(Refused) as refusal, decoding(io.BytesIO(WHOLE), "JPEG"):
        raise ValueError("first\n  second")
    assert refusal.value.failure.detail == "ValueError: first second"


def test_a_program_that_is_stopped_is_not_a_bad_picture() -> None:
    with pytest.raises(KeyboardInterrupt), decoding(io.BytesIO(WHOLE), "JPEG"):
        raise KeyboardInterrupt
