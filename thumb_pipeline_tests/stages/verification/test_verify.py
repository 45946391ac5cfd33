"""Every state a variant can be in, told by `verify` from real files."""

import os
from pathlib import Path

import polars as pl
import pytest

from thumb_pipeline.domain.findings import OrphanKind, SourceFinding, VariantState
from thumb_pipeline.stages.inventory.selection import find_timelapses
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.verification import verdicts
from thumb_pipeline.stages.verification.verify import VerifiedPart, verify
from thumb_pipeline_tests.stages.archives import KEY, Archive, states, touch

pytestmark = pytest.mark.quick


def verified(archive: Archive, *keys: str) -> VerifiedPart:
    """Verifies a library that fits one batch, and keeps the verdict."""
    library = archive.library
    with library.lease() as lease:
        (part,) = verify(library, find_timelapses(library, keys), lease)
    verdicts.keep(library, part)
    return part


def counts(part: VerifiedPart, variant: str = "small") -> dict[str, int]:
    """The states of one variant that are not zero."""
    rows = part.verdicts.filter(pl.col("variant") == variant)
    return {state.value: n for state in VariantState if (n := int(rows[state.value].sum()))}


def orphans(part: VerifiedPart) -> dict[str, str]:
    return dict(part.orphans.files.select("variant_path", "kind").iter_rows())


def test_a_library_that_was_generated_is_valid_in_every_variant(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.frame("b.jpg", color=9)
    archive.run()
    part = verified(archive)
    assert counts(part) == counts(part, "thumbnail") == {"valid": 2}
    assert part.findings.is_empty()


def test_a_deleted_variant_is_missing_and_a_cut_one_corrupt(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        archive.frame(name)
    archive.run()
    archive.variant("a.jpg").unlink()
    archive.variant("b.jpg").write_bytes(archive.variant("b.jpg").read_bytes()[:-9])
    assert counts(verified(archive)) == {"missing": 1, "corrupt": 1}


def test_a_changed_source_makes_stale_source_and_is_named_as_replaced(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    archive.frame("a.jpg", size=(60, 60))
    touch(archive.path("a.jpg"))
    part = verified(archive)
    assert counts(part) == {"stale_source": 1}
    assert SourceFinding.REPLACED in part.findings["state"]


def test_a_changed_recipe_makes_stale_spec_also_where_the_file_gets_another_name(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    archive.settings(small='format = "webp"', thumbnail="quality = 40")
    part = verified(archive)
    assert counts(part) == counts(part, "thumbnail") == {"stale_spec": 1}
    assert part.orphans.files.is_empty()  # the old small is the variant in its last form


def test_variants_of_a_vanished_source_are_orphans_by_their_record(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        archive.frame(name)
    archive.run()
    archive.path("a.jpg").unlink()
    part = verified(archive)
    assert counts(part) == {"valid": 1, "orphan": 1}
    assert set(orphans(part).values()) == {OrphanKind.SOURCE_GONE}
    assert part.orphans.files["evidence"].to_list() == ["record", "record"]
    assert SourceFinding.VANISHED in part.findings["state"]


def test_without_records_right_files_are_unrecorded_and_orphans_are_told_by_name(archive: Archive) -> None:
    for name in ("a.jpg", "b.jpg"):
        archive.frame(name)
    archive.run()
    archive.path("a.jpg").unlink()
    for table in ("manifest", "inventory"):
        for file in Path(archive.library.state, "datasets", table).rglob("*.parquet"):
            file.unlink()
    part = verified(archive)
    assert counts(part) == {"unrecorded": 1, "orphan": 1}
    assert part.orphans.files["evidence"].to_list() == ["name", "name"]
    assert part.adoptable.height == 2


def test_a_retired_variant_leaves_orphans_in_its_own_folder(archive: Archive) -> None:
    archive.settings(more='[variants.large]\nfolder = "larges"\ntag = "large"\nmax_width_px = 60')
    archive.frame("a.jpg")
    archive.run()
    archive.settings(more="")
    part = verified(archive)
    assert orphans(part) == {"larges/a.jpg_large.jpg": OrphanKind.SPEC_RETIRED}
    assert counts(part) == {"valid": 1}


def test_a_variant_that_the_policy_no_longer_asks_for_is_an_orphan(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    archive.settings(more='[policy]\nvariants = ["thumbnail"]')
    assert orphans(verified(archive)) == {"smalls/a.jpg_small.jpg": OrphanKind.POLICY}


def test_foreign_names_and_left_over_temporaries_are_orphans_and_other_folders_never(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    top = archive.frames().parent
    for folder in ("overlays", "videos", "mine"):
        (top / folder).mkdir()
        (top / folder / "a.jpg_small.jpg").write_bytes(b"x")
    (top / "smalls" / "README.txt").write_bytes(b"x")
    archive.killed_lease("0badcafe")
    (top / "smalls" / ".tp-0badcafe-1-1").write_bytes(b"x")
    assert orphans(verified(archive)) == {
        "smalls/README.txt": OrphanKind.UNPARSABLE_NAME,
        "smalls/.tp-0badcafe-1-1": OrphanKind.TEMPORARY,
    }


def test_a_source_that_cannot_be_rendered_is_failed_with_its_reason(archive: Archive) -> None:
    archive.other("broken.jpg", b"\xff\xd8\xff" + bytes(100))
    archive.run()
    part = verified(archive)
    assert counts(part) == {"failed": 1}
    assert part.findings["reason"].is_not_null().all()


def test_two_variants_in_one_folder_claim_their_files_each(archive: Archive) -> None:
    archive.settings(more='[variants.large]\nfolder = "smalls"\ntag = "large"\nmax_width_px = 60')
    archive.frame("a.jpg")
    archive.run()
    (archive.frames().parent / "smalls" / "b.jpg_large.jpg").write_bytes(b"x")
    part = verified(archive)
    assert orphans(part) == {"smalls/b.jpg_large.jpg": OrphanKind.SOURCE_GONE}
    assert counts(part, "large") == {"valid": 1, "orphan": 1}


def test_variants_elsewhere_of_a_timelapse_without_a_folder_are_found(archive: Archive, tmp_path: Path) -> None:
    archive.settings(top=f'[storage]\nvariants = "{tmp_path / "other"}"')
    archive.frame("a.jpg")
    archive.run()
    stray = tmp_path / "other/cameras/camera-7/timelapse-7/smalls/b.jpg_small.jpg"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    part = verified(archive)
    assert part.timelapses["timelapse"].to_list() == [KEY, "camera-7/timelapse-7"]
    assert orphans(part) == {"smalls/b.jpg_small.jpg": OrphanKind.SOURCE_GONE}


def test_a_later_verdict_replaces_the_earlier_one_and_leaves_other_timelapses_alone(archive: Archive) -> None:
    other = "camera-2/timelapse-2"
    archive.frame("a.jpg")
    archive.frame("a.jpg", key=other)
    verified(archive)
    archive.run(timelapses=(KEY,))
    verified(archive, KEY)
    library = archive.library
    kept = library.verdicts.read(["library/all"]).filter(pl.col("variant") == "small").sort("timelapse")
    assert kept["missing"].to_list() == [0, 1]
    assert library.findings.read([KEY]).is_empty()
    assert library.findings.read([other]).height == 2


def test_verifying_writes_nothing_outside_the_state(archive: Archive) -> None:
    archive.frame("a.jpg")
    archive.run()
    archive.variant("a.jpg").unlink()
    before = states(archive.root / "cameras")
    verified(archive)
    assert states(archive.root / "cameras") == before


def test_an_unknown_timelapse_is_refused_with_those_that_are_like_it(archive: Archive) -> None:
    with pytest.raises(Refused, match="did you mean camera-1/timelapse-1"):
        verified(archive, "camera-1/timelapse-11")


def test_names_of_any_bytes_are_accounted_for(archive: Archive) -> None:
    for name in (b"\xff.jpg", b"50%.jpg", b"n" * 250 + b".jpg", b"line\nbreak.jpg"):
        archive.frame(name)
    archive.run()
    assert counts(verified(archive)) == {"valid": 4}
    archive.path(b"\xff.jpg").unlink()
    part = verified(archive)
    assert counts(part) == {"valid": 3, "orphan": 1}
    assert os.fsencode(archive.variant(b"\xff.jpg")).endswith(b"\xff.jpg_small.jpg")
