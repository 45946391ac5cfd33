"""Addresses of databases, and the claim on a real one."""

import pytest

from thumb_pipeline.storage.postgres import (
    AddressUnusable,
    Claim,
    DatabaseUnusable,
    claim,
    move_claim,
    parse_address,
    shown,
)

pytestmark = pytest.mark.quick

FIRST = Claim(library_id="first", state="/srv/first/.thumb_pipeline")
SECOND = Claim(library_id="second", state="/srv/second/.thumb_pipeline")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_an_address_gets_the_driver_that_dagster_needs(scheme: str) -> None:
    address = parse_address(f"{scheme}://anna:s%40cret@db.example:5433/thumbs?sslmode=require\n")
    expected = "postgresql+psycopg2://anna:s%40cret@db.example:5433/thumbs?sslmode=require"
    assert address.render_as_string(hide_password=False) == expected
    assert address.password == "s@cret"


@pytest.mark.parametrize(
    "text",
    [
        "db.example",
        "mysql://anna:secret@db.example/thumbs",
        "postgresql+psycopg://anna:secret@db.example/thumbs",
        "postgresql://anna:sec@ret@db.example/thumbs",
        "postgresql://anna:secret@db.example:port/thumbs",
        "sqlite:///thumbs.db",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_any_of_it(text: str) -> None:
    with pytest.raises(AddressUnusable) as refused:
        parse_address(text)
    assert str(refused.value) == ""
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_an_address_is_shown_without_user_and_password() -> None:
    assert shown(parse_address("postgresql://anna:secret@db.example/thumbs")) == 'database "thumbs" at db.example:5432'
    assert shown(parse_address("postgresql://")) == 'database "" at the default host:5432'


def test_a_database_belongs_to_whoever_claims_it_first(database: str) -> None:
    address = parse_address(database)
    assert claim(address, FIRST) == FIRST
    assert claim(address, SECOND) == FIRST
    assert claim(address, FIRST) == FIRST


def test_only_the_owner_can_move_a_claim(database: str) -> None:
    address = parse_address(database)
    claim(address, FIRST)
    move_claim(address, SECOND)
    assert claim(address, SECOND) == FIRST
    moved = Claim(library_id="first", state="/elsewhere")
    move_claim(address, moved)
    assert claim(address, SECOND) == moved


def test_a_database_that_does_not_let_us_in_says_why_and_never_the_password(database: str) -> None:
    right = parse_address(database)
    wrong = right.set(password="5ecret-and-wrong")
    with pytest.raises(DatabaseUnusable, match="password authentication failed") as refused:
        claim(wrong, FIRST)
    assert "5ecret" not in str(refused.value)
    assert refused.value.__suppress_context__
    with pytest.raises(DatabaseUnusable, match="does not exist"):
        claim(right.set(database="nowhere"), FIRST)
    with pytest.raises(DatabaseUnusable, match="Connection refused"):
        claim(right.set(port=1), FIRST)
