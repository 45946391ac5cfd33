"""Rows that somebody wrote into the database of a library, and addresses of any text: a refusal, or ours."""

import contextlib
import shlex
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.library.run_database import _ensure_id, claim
from thumb_pipeline.storage.postgres import AddressUnusable, Claim, DatabaseUnusable, parse_address
from thumb_pipeline.storage.postgres import claim as claim_row
from thumb_pipeline_tests.stages.archives import Archive

pytestmark = pytest.mark.quick

OTHER = Claim(library_id="other", state="/other")
STATES = ["", "relative", "%00", "%ED", "100%", "/%00", "%2F", "/\x1b[2J", "/" + "x" * 10_000, "/nowhere", "../.."]


def write_claim(database: str, library_id: str, state: str) -> None:
    engine = sa.create_engine(parse_address(database))
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM thumb_pipeline_library"))
        row = {"library_id": library_id, "state": state}
        insert = "INSERT INTO thumb_pipeline_library (library_id, state) VALUES (:library_id, :state)"
        connection.execute(sa.text(insert), row)
    engine.dispose()


@pytest.mark.parametrize("state", STATES, ids=lambda state: ascii(state[:12]))
def test_a_claim_of_ours_that_names_no_folder_is_put_right(archive: Archive, database: str, state: str) -> None:
    library, address = archive.library, parse_address(database)
    claim(library, address)
    write_claim(database, _ensure_id(library), state)
    claim(library, address)
    mine = claim_row(address, OTHER)
    assert (mine.library_id, mine.state) == (_ensure_id(library), library.state)


@pytest.mark.parametrize("library_id", ["x; rm -rf ~", "$(reboot)", "\x1b[2J", "", "x" * 10_000])
def test_another_s_claim_is_refused_in_words_that_can_be_shown_and_pasted(
    archive: Archive, database: str, library_id: str
) -> None:
    library, address = archive.library, parse_address(database)
    claim(library, address)
    write_claim(database, library_id, "/srv/\x07other")
    with pytest.raises(Refused) as told:
        claim(library, address)
    assert str(told.value).isprintable()
    command = str(told.value).rpartition("lost: ")[2]
    assert shlex.split(command)[0::2] == ["echo", ">"]
    assert shlex.split(command)[3] == str(Path(library.state) / "library-id")


def test_a_table_of_another_shape_under_that_name_is_refused(archive: Archive, database: str) -> None:
    library, address = archive.library, parse_address(database)
    engine = sa.create_engine(address)
    for columns in ("only_one boolean PRIMARY KEY, library_id integer, state bytea", "other text"):
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS thumb_pipeline_library"))
            connection.execute(sa.text(f"CREATE TABLE thumb_pipeline_library ({columns})"))
        with pytest.raises(Refused):
            claim(library, address)
    engine.dispose()


PIECES = [
    "postgresql://",
    "user",
    ":",
    "@",
    "host",
    "/",
    "db",
    "?",
    "connect_timeout=",
    "abc",
    "[::1]",
    "%00",
    "%",
    "9" * 30,
    "\ud800",
    "\0",
]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_an_address_of_any_text_is_read_or_refused(written: str) -> None:
    with contextlib.suppress(AddressUnusable):
        assert parse_address(written).drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    "query", ["?connect_timeout=abc", "?nonsense=1", "?port=abc", "?sslmode=banana", "?host=%2Fnowhere"]
)
def test_an_address_that_the_driver_does_not_take_is_refused(archive: Archive, database: str, query: str) -> None:
    with pytest.raises(Refused, match="cannot be used"):
        claim(archive.library, parse_address(database + query))
    with pytest.raises(DatabaseUnusable):
        claim_row(parse_address(database + query), OTHER)


@pytest.mark.parametrize(
    "written", ["postgresql://h/d?options=%00", "postgresql://u:%00@h/d", "postgresql://\udcff@h/d"]
)
def test_an_address_with_what_no_text_has_is_none(written: str) -> None:
    with pytest.raises(AddressUnusable):
        parse_address(written)
