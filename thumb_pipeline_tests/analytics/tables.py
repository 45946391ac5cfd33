"""Rows for the tests of analytics, with everything in order unless a test says otherwise."""

from typing import Any

import polars as pl

from thumb_pipeline.datasets.schemas import INSTANT
from thumb_pipeline.domain import names
from thumb_pipeline.domain.variants import RENDER_REVISION, OutputFormat, VariantSpec

KEY = "camera-1/timelapse-1"
DECODER = "today's"


def spec(name: str = "thumbnail", **fields: Any) -> VariantSpec:
    defaults = {"tag": "thumb", "folder": "thumbnails", "max_width_px": 200, "max_height_px": 150}
    return VariantSpec(name=name, **{**defaults, **fields})


THUMB = spec()
SMALL = spec("small", tag="small", folder="smalls", max_width_px=800, max_height_px=600)
WEBP = spec(format=OutputFormat.WEBP)


def path(source: str, recipe: VariantSpec = THUMB) -> str:
    made = names.variant_name(names.to_bytes(source), recipe.tag, recipe.extension)
    return f"{recipe.folder}/{names.to_text(made)}"


def source(name: str = "a.jpg", **fields: Any) -> dict[str, Any]:
    return {
        "timelapse": KEY,
        "source_name": name,
        "n_bytes": 1000,
        "mtime_ns": 5,
        "state": "settled",
        "captured_at": None,
        **fields,
    }


def record(name: str = "a.jpg", recipe: VariantSpec = THUMB, **fields: Any) -> dict[str, Any]:
    return {
        "timelapse": KEY,
        "source_name": name,
        "variant": recipe.name,
        "state": "made",
        "reason": None,
        "attempts": None,
        "retry_at": None,
        "variant_path": path(name, recipe),
        "source_n_bytes": 1000,
        "source_mtime_ns": 5,
        "source_digest": "ab" * 16,
        "spec_fingerprint": recipe.fingerprint,
        "render_revision": RENDER_REVISION,
        "frame_at": None,
        "decoder": DECODER,
        "n_bytes": 77,
        "mtime_ns": 99,
        **fields,
    }


def refusal(name: str = "a.jpg", recipe: VariantSpec = THUMB, **fields: Any) -> dict[str, Any]:
    unmade = {"state": "failed", "reason": "truncated", "n_bytes": None, "mtime_ns": None}
    return record(name, recipe, **{**unmade, **fields})


def file(where: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"timelapse": KEY, "variant_path": where or path("a.jpg"), "n_bytes": 77, "mtime_ns": 99, **fields}


def frame(rows: list[dict[str, Any]], like: dict[str, Any]) -> pl.LazyFrame:
    """Rows as a table, with the types of a row that has all of them."""
    kinds: dict[str, Any] = {name: pl.Int64 if isinstance(value, int) else pl.String for name, value in like.items()}
    known = {"captured_at": INSTANT, "retry_at": INSTANT, "recorded_at": INSTANT, "attempts": pl.Int32}
    return pl.LazyFrame(rows, schema={name: known.get(name, kind) for name, kind in kinds.items()})
