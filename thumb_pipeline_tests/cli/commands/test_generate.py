import hashlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from thumb_pipeline_tests.cli.conftest import Archive, Run, jpeg

pytestmark = pytest.mark.daemon

GENERATE_KEYS = {
    *("sources", "rendered", "adopted", "unchanged", "failed", "pending", "n_bytes", "duration_s", "run_ids"),
}
PLAN_KEYS = {"sources", "by_reason", "variants", "predicted_s", "n_bytes"}
REASONS = {"missing", "stale_source", "stale_spec", "corrupt", "forced", "retry"}


@pytest.fixture
def generate(run: Run, archive: Archive) -> Any:
    return lambda *options: run("generate", "--library", archive.root, "--json", *options)


def test_every_source_gets_both_variants_in_the_right_size(archive: Archive, generate: Any) -> None:
    archive.add("timelapse-1_20250422_143022.jpg", jpeg((1920, 1080)))
    done = generate()
    assert done.code == 0, done.err
    assert done.json["rendered"] == 2
    folder = archive.frames().parent
    with Image.open(folder / "thumbnails/timelapse-1_thumb_20250422_143022.jpg") as thumbnail:
        assert thumbnail.size == (200, 113)
    with Image.open(folder / "smalls/timelapse-1_small_20250422_143022.jpg") as small:
        assert small.size == (800, 450)


def test_the_json_keys_are_the_promised_ones(archive: Archive, generate: Any, run: Run) -> None:
    archive.fill(2)
    planned = run("plan", "--library", archive.root, "--json").json
    assert planned.keys() >= PLAN_KEYS
    assert planned["by_reason"].keys() == REASONS
    assert generate().json.keys() == GENERATE_KEYS
    assert run("stats", "--library", archive.root, "--json").json == {
        "sources": 2,
        "timelapses": 1,
        "coverage": {name: {"required": 2, "present": 2, "ratio": 1.0} for name in ("thumbnail", "small")},
        "disk_usage": {
            name: {"n_files": 2, "n_bytes": sum(path.stat().st_size for path in archive.root.rglob(f"{folder}/*"))}
            for name, folder in (("thumbnail", "thumbnails"), ("small", "smalls"))
        },
    }


@pytest.mark.usefixtures("storage")
def test_a_second_run_renders_only_what_was_added(archive: Archive, generate: Any) -> None:
    archive.fill(3)
    assert generate().json["rendered"] == 6
    before = {path: os.stat(archive.root / path).st_mtime_ns for path in archive.variants()}
    again = generate()
    assert (again.code, again.json["rendered"], again.json["unchanged"], again.json["run_ids"]) == (0, 0, 6, [])
    archive.add("timelapse-1_20250423_000000.jpg")
    third = generate().json
    assert (third["sources"], third["rendered"], third["unchanged"]) == (4, 2, 6)
    assert all(os.stat(archive.root / path).st_mtime_ns == mtime for path, mtime in before.items())


def test_force_renders_again_what_is_right(archive: Archive, generate: Any) -> None:
    archive.fill(2)
    generate()
    assert generate("--force").json["rendered"] == 4


def test_only_the_chosen_timelapse_source_and_variant_are_made(archive: Archive, generate: Any) -> None:
    archive.fill(2)
    archive.fill(2, "camera-2/timelapse-7")
    assert generate("--timelapse", "camera-2/timelapse-7", "--variant", "small").json["rendered"] == 2
    one = generate("--timelapse", "camera-1/timelapse-1", "--source", "timelapse-1_20250422_000100.jpg").json
    assert (one["sources"], one["rendered"]) == (1, 2)
    assert generate().json["rendered"] == 4


@pytest.mark.usefixtures("storage")
def test_a_broken_source_costs_its_row_and_exit_code_1(archive: Archive, generate: Any) -> None:
    archive.fill(2)
    archive.add("timelapse-1_20250423_000000.jpg", jpeg()[:-200])
    archive.add("notes.txt", b"no picture")
    done = generate()
    assert done.code == 1
    assert (done.json["sources"], done.json["rendered"], done.json["failed"]) == (4, 4, 2)
    assert "truncated" in done.err
    assert "not_an_image" in done.err
    assert (generate().json["failed"], len(archive.variants())) == (2, 4)


def test_a_source_that_is_still_written_is_pending_and_made_when_it_stands_still(
    archive: Archive, generate: Any
) -> None:
    data = jpeg((640, 480))
    path = archive.add("timelapse-1_20250422_143022.jpg", b"")
    stop = threading.Event()
    camera = threading.Thread(target=_write_slowly, args=(path, data, stop))
    camera.start()
    try:
        done = generate().json
    finally:
        stop.set()
        camera.join()
    assert (done["pending"], done["failed"], done["rendered"]) == (1, 0, 0)
    assert generate().json["rendered"] == 2


def test_names_of_any_bytes_get_variants(archive: Archive, generate: Any) -> None:
    odd = [
        b"IMG 0012 .JPG",
        b"2023-06-13T03:11:46.jpg",
        b"100%.jpg",
        "e\u0301t\u00e9.jpg".encode(),
        b"\xff\xfe.jpg",
        b"x" * 255,
    ]
    for name in odd:
        archive.frames().mkdir(parents=True, exist_ok=True)
        Path(os.fsdecode(os.path.join(os.fsencode(archive.frames()), name))).write_bytes(jpeg())
    assert generate().json["rendered"] == 2 * len(odd)
    assert generate().json["unchanged"] == 2 * len(odd)
    named = generate("--source", "%FF%FE.jpg", "--force")
    assert named.json["rendered"] == 2, named.err


def test_what_is_left_out_is_said(archive: Archive, generate: Any) -> None:
    archive.fill(1)
    (archive.frames() / "sub").mkdir()
    (archive.frames() / "link.jpg").symlink_to(archive.frames() / "timelapse-1_20250422_000000.jpg")
    archive.add("upload.jpg.part")
    (archive.root / "cameras/holiday pictures").mkdir()
    done = generate()
    assert (done.code, done.json["sources"]) == (0, 1)
    assert "camera-1/timelapse-1/sub is a folder" in done.err
    assert "camera-1/timelapse-1/link.jpg is a folder, a link" in done.err
    assert "1 hidden or temporary file left out" in done.err
    assert "cameras/holiday pictures is no camera's" in done.err


def test_an_empty_listing_is_refused_until_it_is_accepted(archive: Archive, generate: Any, run: Run) -> None:
    archive.fill(3)
    generate()
    for path in archive.frames().iterdir():
        path.unlink()
    refused = generate()
    assert refused.code == 2
    assert refused.out == ""
    assert "--accept-shrink" in refused.err
    assert "3 sources recorded, 0 found" in refused.err
    assert generate("--accept-shrink").code == 0
    assert generate().json["sources"] == 0


def test_a_damaged_table_is_named_with_the_remedy_and_the_remedy_works(archive: Archive, generate: Any) -> None:
    archive.fill(2)
    generate()
    [damaged] = (archive.root / ".thumb_pipeline/datasets/manifest").rglob("*.parquet")
    damaged.write_bytes(b"PAR1 no more")
    refused = generate()
    assert refused.code == 2
    assert str(damaged) in refused.err
    shutil.rmtree(damaged.parent)
    assert generate().json["adopted"] == 4


def test_a_library_without_cameras_is_empty(archive: Archive, generate: Any) -> None:
    done = generate()
    assert (done.code, done.json["sources"], done.json["run_ids"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--timelapse", "camera-1/timelapse-9"), "did you mean camera-1/timelapse-1"),
        (("--variant", "thumb"), "did you mean thumbnail"),
        (("--source", "nobody.jpg"), "no source"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(
    archive: Archive, generate: Any, options: tuple[str, ...], said: str
) -> None:
    archive.fill(1)
    refused = generate(*options)
    assert refused.code == 2
    assert said in refused.err
    assert archive.variants() == {}


def test_a_library_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    refused = run("generate", "--library", tmp_path / "gone")
    assert refused.code == 2
    assert "check the path" in refused.err
    assert run("generate").code == 2


def test_losing_the_whole_state_folder_renders_nothing(archive: Archive, generate: Any, run: Run) -> None:
    archive.fill(3)
    generate()
    before = archive.variants()
    run_folder = archive.root / ".thumb_pipeline"
    run_folder.rename(archive.root / "lost")
    done = generate()
    assert (done.code, done.json["adopted"], done.json["rendered"]) == (0, 6, 0)
    assert archive.variants() == before


def test_a_changed_format_replaces_the_superseded_files(archive: Archive, generate: Any) -> None:
    archive.fill(2)
    generate()
    settings = archive.root / "thumbs.toml"
    head, small = settings.read_text().split("[variants.small]")
    settings.write_text(head + "[variants.small]" + small.replace('format = "jpeg"', 'format = "webp"'))
    assert generate().json["rendered"] == 2
    assert sorted(Path(path).suffix for path in archive.variants()) == [".jpg", ".jpg", ".webp", ".webp"]


def test_state_and_variants_may_lie_on_other_disks(archive: Archive, generate: Any, tmp_path: Path) -> None:
    shutil.rmtree(archive.root / ".thumb_pipeline")
    settings = archive.root / "thumbs.toml"
    text = settings.read_text().replace('state = ".thumb_pipeline"', f'state = "{tmp_path}/state"')
    settings.write_text(text.replace('variants = "."', f'variants = "{tmp_path}/variants"'))
    archive.fill(1)
    assert generate().json["rendered"] == 2
    assert sorted(path.name for path in archive.root.iterdir()) == [".thumb_pipeline-id", "cameras", "thumbs.toml"]
    assert len(list((tmp_path / "variants/cameras/camera-1/timelapse-1/smalls").iterdir())) == 1


@pytest.mark.parametrize("target", ["frames", "../timelapse-2/thumbnails"])
def test_a_linked_variant_folder_is_refused_before_anything_is_written(
    archive: Archive, generate: Any, target: str
) -> None:
    archive.add("timelapse-1_20250422_143022.jpg")
    archive.add("timelapse-1_thumb_20250422_143022.jpg")  # a source that a variant's name would hit
    before = _fingerprints(archive.frames())
    (archive.root / "cameras/camera-1/timelapse-2/thumbnails").mkdir(parents=True)
    (archive.frames().parent / "thumbnails").symlink_to(target)
    refused = generate()
    assert refused.code == 2
    assert "is a link" in refused.err
    assert _fingerprints(archive.frames()) == before


def test_an_unmounted_disk_of_variants_is_refused(archive: Archive, generate: Any, tmp_path: Path) -> None:
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace('variants = "."', f'variants = "{tmp_path}/variants"'))
    archive.fill(2)
    assert generate().json["rendered"] == 4
    (tmp_path / "variants").rename(tmp_path / "unmounted")
    refused = generate()
    assert refused.code == 2
    assert "4 variants are recorded" in refused.err
    assert generate("--accept-shrink").json["rendered"] == 4


def test_sources_are_never_touched(archive: Archive, generate: Any) -> None:
    archive.fill(3)
    archive.add("broken.jpg", jpeg()[:50])
    before = _fingerprints(archive.frames())
    generate()
    generate("--force")
    assert _fingerprints(archive.frames()) == before


def _fingerprints(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in folder.iterdir()
    }


def _write_slowly(path: Path, data: bytes, stop: threading.Event) -> None:
    """Adds bytes until it is told to stop, then the rest at once."""
    with path.open("ab", buffering=0) as file:
        written = 0
        while not stop.is_set() and written < len(data) - 10:
            file.write(data[written : written + 1])
            written += 1
            time.sleep(0.02)
        file.write(data[written:])


def test_a_timelapse_whose_loss_is_accepted_is_retired_although_there_is_nothing_to_render(
    archive: Archive, run: Run
) -> None:
    archive.fill(1, "camera-1/timelapse-1")
    archive.fill(1, "camera-2/timelapse-3")
    run("generate", "--library", archive.root)
    shutil.rmtree(archive.root / "cameras/camera-2")
    accepted = run("generate", "--library", archive.root, "--accept-shrink", "--json").json
    assert (accepted["rendered"], len(accepted["run_ids"])) == (0, 1)
    assert run("generate", "--library", archive.root, "--accept-shrink", "--json").json["run_ids"] == []
    assert list(run("verify", "--library", archive.root, "--json").json["by_timelapse"]) == ["camera-1/timelapse-1"]
