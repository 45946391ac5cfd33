"""Which decoders there are, and what importing the renderer loads."""

import subprocess
import sys

import pytest

from thumb_pipeline.imaging.formats.formats import SUPPORTED
from thumb_pipeline.imaging.sources.decoders import _PLUGINS, decoder_version

pytestmark = pytest.mark.quick


def test_every_supported_format_has_its_plugin_and_nothing_else_has() -> None:
    assert set(_PLUGINS) == set(SUPPORTED)


def test_the_version_is_one_short_line() -> None:
    assert decoder_version().startswith("pillow/")
    assert len(decoder_version()) < 256
    assert "\n" not in decoder_version()


def test_the_renderer_loads_neither_other_layers_nor_decoders_that_are_not_allowed() -> None:
    program = "import sys, thumb_pipeline.imaging.render; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ).stdout.split()
    layers = {name.split(".")[1] for name in loaded if name.startswith("thumb_pipeline.")}
    assert layers == {"domain", "imaging"}
    unwanted = {"dagster", "polars", "pyarrow", "pydantic", "numpy", "PIL.EpsImagePlugin", "PIL.ImageCms"}
    unwanted |= {"pi_heif", "rawpy", "pypdfium2", "av", "importlib.metadata"}
    assert not unwanted.intersection(loaded)
