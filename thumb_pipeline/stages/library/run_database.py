"""The database of a library's runs: SQLite in its state folder, or the PostgreSQL database that the environment names.

One database belongs to one library: their partitions, history and abandoned runs must never mix. So the database stores
the id of its library, and the state folder stores it too. Talking to the server lives in `storage.postgres`; the
commands write the instance file that names the database to Dagster.
"""

import os
import shlex
import uuid
from typing import TYPE_CHECKING

from thumb_pipeline.domain import names
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.stages.library.library import Library, publish_durably
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.storage import postgres
from thumb_pipeline.storage.reading import read_small

if TYPE_CHECKING:
    from sqlalchemy import URL

POSTGRES_VARIABLE = "THUMB_PIPELINE_POSTGRES_URL"
"""Names the PostgreSQL database; empty or absent means SQLite."""

_ID_FILE = "library-id"
_MOST_ID_N_BYTES = 200


class ForeignDatabase(Refused):
    """The database belongs to another library."""


def read_address() -> "URL | None":
    """The address in the environment, or None for SQLite.

    Raises:
        Refused: it is not the address of a PostgreSQL database.
    """
    written = os.environ.get(POSTGRES_VARIABLE)
    if not written:
        return None
    try:
        return postgres.parse_address(written)
    except postgres.AddressUnusable:
        raise Refused(
            f"{POSTGRES_VARIABLE} is no address of the form postgresql://USER:PASSWORD@HOST:5432/DATABASE; "
            "in a password, write @ as %40, : as %3A and / as %2F"
        ) from None


def driver_address(address: "URL") -> str:
    """The address as Dagster needs it, with the password: only for the environment of our processes."""
    return address.render_as_string(hide_password=False)


def described(address: "URL", error: Exception) -> str:
    """The message that the database cannot be used, with the reason."""
    reason = postgres.reason(error.__cause__ or error, address)
    return f"the {postgres.shown(address)} cannot be used ({reason})"


def claim(library: Library, address: "URL") -> None:
    """Claims the database for this library, if it is not claimed yet.

    Raises:
        ForeignDatabase: it belongs to another library.
        Refused: it cannot be used.
    """
    mine = postgres.Claim(library_id=_ensure_id(library), state=names.to_text(os.fsencode(library.state)))
    try:
        claimed = postgres.claim(address, mine)
        if claimed == mine:
            return
        _refuse_foreign(library, address, claimed, mine)
        postgres.move_claim(address, mine)
    except postgres.DatabaseUnusable as error:
        raise Refused(
            f"{described(address, error)}; check that PostgreSQL runs there, and host, port, database, user and "
            f"password in {POSTGRES_VARIABLE}"
        ) from error


def _refuse_foreign(library: Library, address: "URL", claimed: postgres.Claim, mine: postgres.Claim) -> None:
    if claimed.library_id != mine.library_id:
        raise ForeignDatabase(
            f"the {postgres.shown(address)} keeps the runs of another library, whose state is in {claimed.state}; "
            f"name a database of this library's own in {POSTGRES_VARIABLE}. If it is this library's and its state "
            f"folder was lost: echo {shlex.quote(claimed.library_id)} > {shlex.quote(_id_path(library.state))}"
        )
    there = _folder_in(claimed)
    if there and _read_id(there) == mine.library_id and not os.path.samefile(there, library.state):
        raise ForeignDatabase(
            f"the {postgres.shown(address)} keeps the runs of the library whose state is in {claimed.state}, and "
            f"{library.state} is a copy of that; name another database in {POSTGRES_VARIABLE} for the copy, "
            f"and delete {_id_path(library.state)}"
        )


def _folder_in(claimed: postgres.Claim) -> str | None:
    """The folder that a claim names; None if its text is no absolute path, as other programs can write the row."""
    try:
        path = names.to_bytes(claimed.state)
    except ValueError:
        return None
    return os.fsdecode(path) if path.startswith(b"/") and b"\0" not in path else None


def _ensure_id(library: Library) -> str:
    """The library's id; makes it at first need."""
    library_id = _read_id(library.state)
    if library_id:
        return library_id
    library.claim_state()
    os.makedirs(library.dagster_home, exist_ok=True)
    with library.locked(inside(library.dagster_home, ".naming")):
        library_id = _read_id(library.state)
        if not library_id:
            library_id = str(uuid.uuid4())
            publish_durably(os.fsencode(_id_path(library.state)), f"{library_id}\n".encode())
    return library_id


def _read_id(state: str) -> str | None:
    """The id in a state folder; None if there is none, or the file holds no id."""
    try:
        written = read_small(_id_path(state), _MOST_ID_N_BYTES).decode("ascii").strip()
    except (OSError, ValueError):
        return None
    return written if written and written.isprintable() else None


def _id_path(state: str) -> str:
    return inside(state, _ID_FILE)
