"""Deep verification: damage that name, size and mtime do not show, on real files with flipped bytes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thumb_pipeline.domain.findings import SourceFinding, VariantState
from thumb_pipeline.domain.provenance import EMPTY_CHECKSUM
from thumb_pipeline.imaging.variants.provenance import read_provenance, seal
from thumb_pipeline.stages.examining.deep import files_of_sources, prove
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.verification import verdicts
from thumb_pipeline.stages.verification.verify import VerifiedPart, verify
from thumb_pipeline.stages.workers.messages import KnownSource, ProofAnswer, ReadTask
from thumb_pipeline.stages.workers.pool import WorkerPool, worker_orders
from thumb_pipeline_tests.stages.archives import KEY, Archive, states, touch
from thumb_pipeline_tests.stages.workers.pools import pool_in

pytestmark = pytest.mark.quick


def verified(archive: Archive, *, deep: bool) -> VerifiedPart:
    library = archive.library
    with library.lease() as lease:
        (part,) = verify(library, find_timelapses(library, ()), lease, deep=deep)
    verdicts.keep(library, part)
    return part


def counts(part: VerifiedPart, variant: str = "small") -> dict[str, int]:
    """The states of one variant that are not zero."""
    rows = part.verdicts.filter(pl.col("variant") == variant)
    return {state.value: n for state in VariantState if (n := int(rows[state.value].sum()))}


def unnoticed(path: Path, data: bytes) -> None:
    """Writes other bytes into a file and puts its mtime back, as a failing disk would."""
    before = os.stat(path)
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path: Path, place: float = 0.5) -> None:
    """Flips a byte in the middle of the coded pixels of a JPEG, or at another share of any file."""
    data = bytearray(path.read_bytes())
    start = data.find(b"\xff\xda") + 12 if data.startswith(b"\xff\xd8") else 0
    at = start + int((len(data) - 2 - start) * place)
    data[at] ^= 0x55
    unnoticed(path, bytes(data))


def details(part: VerifiedPart) -> dict[str, str]:
    rows = part.findings.filter(pl.col("detail").is_not_null())
    return dict(rows.select(pl.coalesce(pl.col("variant_path").replace("", None), "source_name"), "detail").iter_rows())


def textured(archive: Archive, name: str, seed: int = 0) -> Path:
    """A frame with structure, so that there are coded pixels to damage."""
    path = archive.path(name)
    noise = Image.effect_noise((80, 60), 90).convert("RGB")
    noise.putpixel((0, 0), (seed % 256, 0, 0))
    noise.save(path, "JPEG", quality=90)
    return path


def test_sound_variants_are_valid_in_deep_mode_and_every_file_was_opened(done: Archive) -> None:
    part = verified(done, deep=True)
    assert counts(part) == counts(part, "thumbnail") == {"valid": 2}
    assert part.proven.n_files == 6
    assert part.findings.is_empty()
    assert done.library.verified.read(["library/all"])["is_deep"].to_list() == [True]


def test_a_flipped_byte_in_the_pixels_shows_in_deep_mode_only(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        textured(archive, name)
    archive.run()
    flip(archive.variant("a.jpg"))
    assert counts(verified(archive, deep=False)) == {"valid": 2}
    part = verified(archive, deep=True)
    assert counts(part) == {"valid": 1, "corrupt": 1}
    assert "checksum" in details(part)["smalls/a.jpg_small.jpg"]


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.99])
def test_damage_is_found_in_every_output_format_wherever_it_lies(archive: Archive, output: str, place: float) -> None:
    archive.settings(small=f'format = "{output}"')
    textured(archive, "a.jpg")
    archive.run()
    assert counts(verified(archive, deep=True)) == {"valid": 1}
    flip(archive.variant("a.jpg"), place)
    assert counts(verified(archive, deep=True)) == {"corrupt": 1}


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_a_file_of_the_right_size_that_ends_in_zeros_is_corrupt(archive: Archive, output: str) -> None:
    archive.settings(small=f'format = "{output}"')
    textured(archive, "a.jpg")
    archive.run()
    path = archive.variant("a.jpg")
    whole = path.read_bytes()
    unnoticed(path, whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    assert counts(verified(archive, deep=True)) == {"corrupt": 1}


def test_the_note_itself_is_protected_by_the_checksum(done: Archive) -> None:
    path = done.variant("a.jpg")
    unnoticed(path, path.read_bytes().replace(b'"source_n_bytes":', b'"source_n_bytez":'))
    assert counts(verified(done, deep=True)) == {"valid": 1, "corrupt": 1}


def test_another_picture_of_the_same_size_under_a_variants_name_is_corrupt(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    path = archive.variant("a.jpg")
    size = path.stat().st_size
    Image.new("RGB", (32, 24)).save(archive.root / "foreign.jpg", "JPEG")
    unnoticed(path, (archive.root / "foreign.jpg").read_bytes().ljust(size, b"\0"))
    part = verified(archive, deep=True)
    assert counts(part) == {"corrupt": 1}
    assert "another picture" in details(part)["smalls/a.jpg_small.jpg"]


def test_swapped_variants_of_two_sources_are_stale_source(archive: Archive) -> None:
    for name, color in (("a.jpg", 1), ("b.jpg", 9)):
        archive.frame(name, color=color)
    archive.run()
    first, second = archive.variant("a.jpg"), archive.variant("b.jpg")
    data = first.read_bytes(), second.read_bytes()
    assert len(data[0]) == len(data[1])
    unnoticed(first, data[1])
    unnoticed(second, data[0])
    assert counts(verified(archive, deep=False)) == {"valid": 2}
    part = verified(archive, deep=True)
    assert counts(part) == {"stale_source": 2}
    assert "made from source bytes" in details(part)["smalls/a.jpg_small.jpg"]


def test_a_variant_by_another_recipe_of_the_same_size_is_stale_spec(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.settings(small="quality = 80")
    archive.run()
    other = archive.variant("a.jpg").read_bytes()
    archive.settings(small="quality = 81")
    archive.run()
    path = archive.variant("a.jpg")
    assert len(other) == path.stat().st_size
    unnoticed(path, other)
    assert counts(verified(archive, deep=True)) == {"stale_spec": 1}


def test_a_variant_that_was_trusted_is_held_against_its_recorded_checksum(archive: Archive) -> None:
    archive.frame("a.jpg")
    for variant, size in (("small", (32, 24)), ("thumbnail", (16, 12))):
        archive.variant("a.jpg", variant).parent.mkdir(exist_ok=True)
        Image.effect_noise(size, 80).convert("RGB").save(archive.variant("a.jpg", variant), "JPEG")
    assert archive.run(trust_existing=True).counts == {"adopted": 2}
    assert counts(verified(archive, deep=True)) == {"valid": 1}
    flip(archive.variant("a.jpg"))
    assert counts(verified(archive, deep=True)) == {"corrupt": 1}


def test_an_unrecorded_variant_that_fails_is_not_offered_for_adoption(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    shutil.rmtree(archive.library.state)
    flip(archive.variant("a.jpg"))
    part = verified(archive, deep=True)
    assert counts(part) == {"corrupt": 1}
    assert part.adoptable["variant"].to_list() == ["thumbnail"]


def test_a_source_that_was_only_touched_keeps_its_variants_valid(done: Archive) -> None:
    touch(done.path("a.jpg"))
    assert done.run().counts == {"unchanged": 4}
    assert counts(verified(done, deep=True)) == {"valid": 2}


def test_a_damaged_variant_stays_corrupt_at_normal_depth_until_it_is_made_again(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    flip(archive.variant("a.jpg"))
    verified(archive, deep=True)
    assert counts(verified(archive, deep=False)) == {"corrupt": 1}
    done = archive.run()
    assert (done.by_reason, done.counts) == ({"corrupt": 1}, {"rendered": 1, "unchanged": 1})
    assert archive.library.damage.read([KEY]).is_empty()
    assert counts(verified(archive, deep=False)) == counts(verified(archive, deep=True)) == {"valid": 1}


def test_a_damaged_variant_is_made_again_although_its_source_was_only_touched(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    flip(archive.variant("a.jpg"))
    verified(archive, deep=True)
    touch(archive.path("a.jpg"))
    assert archive.run().counts == {"rendered": 1, "unchanged": 1}
    assert counts(verified(archive, deep=True)) == {"valid": 1}


def test_a_damaged_variant_is_made_again_although_its_record_was_lost(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    flip(archive.variant("a.jpg"))
    verified(archive, deep=True)
    for table in ("manifest", "inventory"):
        shutil.rmtree(Path(archive.library.state, "datasets", table))
    assert archive.run().counts == {"rendered": 1, "adopted": 1}


def test_what_only_decoding_disproves_is_made_again_too(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    _sealed_damage(archive)
    assert counts(verified(archive, deep=False)) == {"valid": 1}
    part = verified(archive, deep=True)
    assert "decode" in details(part)["smalls/a.jpg_small.jpg"]
    assert archive.run().by_reason == {"corrupt": 1}
    assert counts(verified(archive, deep=True)) == {"valid": 1}


def _sealed_damage(archive: Archive) -> None:
    """A variant that was damaged before its checksum was taken: only a decoder sees it."""
    path = archive.variant("a.jpg")
    data = path.read_bytes()
    note = read_provenance(data)
    assert note is not None
    unsealed = data.replace(note.checksum.encode(), EMPTY_CHECKSUM.encode())
    cut, checksum = seal(unsealed[: data.find(b"\xff\xda") + 40])
    path.write_bytes(cut)
    status = path.stat()
    rows = archive.manifest().filter(pl.col("variant") == "small")
    archive.library.manifest.merge(
        KEY,
        rows.with_columns(
            n_bytes=pl.lit(status.st_size), mtime_ns=pl.lit(status.st_mtime_ns), checksum=pl.lit(checksum)
        ),
    )


def test_a_variant_that_was_restored_as_it_was_is_valid_again_and_not_made(archive: Archive) -> None:
    textured(archive, "a.jpg")
    archive.run()
    path = archive.variant("a.jpg")
    good = path.read_bytes()
    flip(path)
    verified(archive, deep=True)
    unnoticed(path, good)
    assert archive.run().counts == {"unchanged": 2}
    assert counts(verified(archive, deep=False)) == {"valid": 1}
    assert archive.library.damage.read([KEY]).is_empty()


def test_bit_rot_of_a_source_is_found_and_its_variants_stay_valid(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        textured(archive, name)
    archive.run()
    flip(archive.path("a.jpg"))
    part = verified(archive, deep=True)
    assert part.findings.select("source_name", "state").rows() == [("a.jpg", SourceFinding.BIT_ROT)]
    assert part.timelapses["bit_rot"].to_list() == [1]
    assert counts(part) == counts(part, "thumbnail") == {"valid": 2}
    assert archive.run().counts == {"unchanged": 4}


def test_bit_rot_is_still_told_at_normal_depth_and_no_more_once_the_frame_is_restored(archive: Archive) -> None:
    path = textured(archive, "a.jpg")
    archive.run()
    good = path.read_bytes()
    flip(path)
    verified(archive, deep=True)
    assert verified(archive, deep=False).timelapses["bit_rot"].to_list() == [1]
    unnoticed(path, good)
    assert verified(archive, deep=False).timelapses["bit_rot"].to_list() == [0]
    assert archive.library.damage.read([KEY]).is_empty()


def test_bit_rot_is_found_where_only_the_variants_know_the_digest(archive: Archive) -> None:
    path = textured(archive, "a.jpg")
    archive.run()
    shutil.rmtree(archive.library.state)
    assert archive.run().counts == {"adopted": 2}
    flip(path)
    assert verified(archive, deep=True).timelapses["bit_rot"].to_list() == [1]


def test_making_a_variant_of_rotten_bytes_does_not_make_them_the_true_ones(archive: Archive) -> None:
    path = textured(archive, "a.jpg")
    archive.run()
    flip(path)
    archive.variant("a.jpg").unlink()
    archive.run()
    part = verified(archive, deep=True)
    assert part.timelapses["bit_rot"].to_list() == [1]
    assert counts(part) == {"stale_source": 1}
    assert counts(part, "thumbnail") == {"valid": 1}


def test_a_rotten_source_whose_bytes_are_meant_is_accepted_by_touching_it(archive: Archive) -> None:
    path = textured(archive, "a.jpg")
    archive.run()
    flip(path)
    verified(archive, deep=True)
    touch(path)
    assert archive.run().counts == {"rendered": 2}
    part = verified(archive, deep=True)
    assert part.findings.is_empty()
    assert counts(part) == {"valid": 1}


def test_deep_verification_changes_no_file_outside_the_state(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        textured(archive, name)
    archive.run()
    flip(archive.path("a.jpg"))
    flip(archive.variant("b.jpg"))
    before = states(archive.root / "cameras")
    verified(archive, deep=True)
    assert states(archive.root / "cameras") == before


def test_a_source_that_cannot_be_read_is_not_intact(tmp_path: Path) -> None:
    status = tmp_path.stat()  # reading a folder fails as reading a bad sector does, for root too
    asked = KnownSource(path=bytes(tmp_path), n_bytes=status.st_size, mtime_ns=status.st_mtime_ns, digest=None)
    with pool_in(tmp_path.parent) as pool:
        ((_, answer),) = pool.run([ReadTask(files=(asked,))])
    assert isinstance(answer, ProofAnswer)
    assert [wrong.state for wrong in answer.wrong] == [SourceFinding.UNREADABLE]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_source_without_permission_to_read_is_a_finding(done: Archive) -> None:
    done.path("a.jpg").chmod(0)
    part = verified(done, deep=True)
    assert part.timelapses["unreadable"].to_list() == [1]


@pytest.mark.daemon
def test_a_worker_that_dies_over_a_variant_costs_that_one_file(archive: Archive) -> None:
    archive.settings(more='[variants.large]\nfolder = "larges"\ntag = "large"\nmax_width_px = 9000\nformat = "png"')
    for name in ("a.jpg", "b.jpg"):
        archive.frame(name)
    slow = archive.variant("a.jpg", "large")
    slow.parent.mkdir()
    noise = Image.effect_noise((1000, 1000), 60).convert("RGB").resize((8000, 8000), Image.Resampling.NEAREST)
    noise.save(slow, compress_level=1)
    assert archive.run(trust_existing=True).counts == {"rendered": 5, "adopted": 1}
    archive.settings(rendering="deadline_s = 0.2")
    part = verified(archive, deep=True)
    assert counts(part, "large") == {"valid": 1, "corrupt": 1}
    assert counts(part) == {"valid": 2}
    assert "0.2 s" in details(part)["larges/a.jpg_large.png"]


def test_progress_counts_every_file_once(done: Archive) -> None:
    told: list[tuple[int, int]] = []
    library = done.library
    with library.lease() as lease:
        list(verify(library, [KEY], lease, deep=True, on_progress=lambda *n: told.append(n)))
    assert told[-1] == (6, 6)


def test_sources_that_were_opened_are_remembered_as_checked(done: Archive) -> None:
    verified(done, deep=False)
    assert done.library.checked.read([KEY]).is_empty()
    verified(done, deep=True)
    assert sorted(done.library.checked.read([KEY])["source_name"]) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("edit", [touch, Path.unlink])
def test_a_file_that_is_no_longer_as_listed_is_not_called_wrong(done: Archive, edit: Callable[[Path], None]) -> None:
    library = done.library
    files = files_of_sources(library, done.inventory())
    edit(done.path("a.jpg"))
    with library.lease() as lease, WorkerPool(1, lease, worker_orders(library, lease)) as pool:
        proven = prove(library, pool, files)
    assert proven.wrong.is_empty()
    assert proven.moved["source_name"].to_list() == ["a.jpg"]


def _renamed(archive: Archive) -> None:
    """A renamed source whose variants were moved and recorded under its new name; their notes name the old one."""
    archive.path("a.jpg").rename(archive.path("z.jpg"))
    for variant in ("small", "thumbnail"):
        archive.variant("a.jpg", variant).rename(archive.variant("z.jpg", variant))
    rows = archive.manifest()
    moved = rows.with_columns(
        source_name=pl.lit("z.jpg"), variant_path=pl.col("variant_path").str.replace("a.jpg", "z.jpg", literal=True)
    )
    identity = rows.select("timelapse", "source_name", "variant")
    archive.library.manifest.merge(KEY, moved, removed=identity)


def test_variants_of_a_renamed_source_are_valid_where_the_digest_of_its_bytes_is_recorded(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    _renamed(archive)
    part = verified(archive, deep=True)
    assert counts(part) == counts(part, "thumbnail") == {"valid": 1}
    assert part.findings["state"].to_list() == [SourceFinding.VANISHED]


def test_a_file_that_names_the_known_digest_is_adopted_for_a_renamed_source(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    _renamed(archive)
    lost = archive.manifest().filter(pl.col("variant") == "small").select("timelapse", "source_name", "variant")
    archive.library.manifest.merge(KEY, archive.library.manifest.schema.empty(), removed=lost)
    assert counts(verified(archive, deep=False)) == {"unrecorded": 1}
    assert archive.run(accept_shrink=True).counts == {"adopted": 1, "unchanged": 1}


def test_what_is_known_of_damage_outlasts_a_disk_that_is_not_there(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        textured(archive, name)
    archive.run()
    flip(archive.path("a.jpg"))
    flip(archive.variant("b.jpg"))
    verified(archive, deep=True)
    places = [archive.frames(), archive.variant("a.jpg").parent]
    for place in places:
        place.rename(place.with_suffix(".away"))
        place.mkdir()
        verified(archive, deep=False)
        place.rmdir()
        place.with_suffix(".away").rename(place)
    part = verified(archive, deep=False)
    assert part.timelapses["bit_rot"].to_list() == [1]
    assert counts(part) == {"valid": 1, "corrupt": 1}


def test_nothing_is_remembered_of_sources_that_are_accepted_to_be_gone(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        textured(archive, name)
    archive.run()
    flip(archive.path("a.jpg"))
    verified(archive, deep=True)
    archive.path("a.jpg").unlink()
    archive.run()
    assert archive.library.damage.read([KEY]).is_empty()
    assert archive.library.checked.read([KEY])["source_name"].to_list() == ["b.jpg"]
