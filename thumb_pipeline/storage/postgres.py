"""The PostgreSQL database that may keep Dagster's runs: its address, whether it answers, and whose it is.

Dagster owns its tables in it; this module adds one table of ours, with one row. `stages.library.run_database` decides
when a library has to use which database.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from thumb_pipeline.domain.plain_text import plain

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVER = "postgresql+psycopg2"
_NAMES = {"postgres", "postgresql", _DRIVER}
_CONNECT_S = 10
_MOST_PATH = 20_000
_CLAIM_LOCK = 0x7468756D62  # any number, the same in every process that claims

_TABLE = """
    CREATE TABLE IF NOT EXISTS thumb_pipeline_library (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
        library_id text NOT NULL,
        state text NOT NULL
    )
"""
_TAKE = "INSERT INTO thumb_pipeline_library (library_id, state) VALUES (:library_id, :state) ON CONFLICT DO NOTHING"
_MOVE = "UPDATE thumb_pipeline_library SET state = :state WHERE library_id = :library_id"
_OWNER = "SELECT library_id, state FROM thumb_pipeline_library"


class AddressUnusable(Exception):
    """The text is not the address of a PostgreSQL database."""


class DatabaseUnusable(Exception):
    """The database does not answer or does not let us in; the message is the server's, without the password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The owner of a database: the id of a library, and the folder of its state when it last used the database."""

    library_id: str
    state: str


def parse_address(text: str) -> "URL":
    """A database's address, with the driver Dagster needs: without one, SQLAlchemy 2.1 takes psycopg 3.

    Raises:
        AddressUnusable: the text is something else. The message contains no part of it, as a part may be a password.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(text.strip())
        is_text = b"\0" not in unquote_to_bytes(text)  # ValueError for lone surrogates
    except (ArgumentError, ValueError):
        raise AddressUnusable from None
    if not is_text or address.drivername not in _NAMES or "@" in (address.host or ""):
        raise AddressUnusable
    return address.set(drivername=_DRIVER)


def shown(address: "URL") -> str:
    """An address for people, without the password or any part that could hold one."""
    host = f"{address.host or 'the default host'}:{address.port or 5432}"
    return f'database "{address.database or address.username or ""}" at {host}'


def claim(address: "URL", mine: Claim) -> Claim:
    """Claims a database if no library owns it yet; returns its owner.

    Raises:
        DatabaseUnusable: it cannot be reached, or this user may not create tables in it.
    """
    return _run_transaction(address, [(_TABLE, {}), (_TAKE, asdict(mine))])


def move_claim(address: "URL", mine: Claim) -> None:
    """Records the new state folder of the library that owns the database.

    Raises:
        DatabaseUnusable: it cannot be reached.
    """
    _run_transaction(address, [(_MOVE, asdict(mine))])


def _run_transaction(address: "URL", statements: list[tuple[str, dict[str, str]]]) -> Claim:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    limits = {} if "connect_timeout" in address.query else {"connect_timeout": _CONNECT_S}
    try:
        with create_engine(address, poolclass=NullPool, connect_args=limits).begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{_CONNECT_S}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CLAIM_LOCK})
            for statement, values in statements:
                connection.execute(text(statement), values)
            row = connection.execute(text(_OWNER)).one()
    except SQLAlchemyError as error:
        raise DatabaseUnusable(reason(error, address)) from None
    return Claim(library_id=plain(str(row.library_id)), state=plain(str(row.state), most=_MOST_PATH))


def reason(error: BaseException, address: "URL") -> str:
    """What the server or its driver said, on one line, without the password."""
    message = " ".join(str(getattr(error, "orig", None) or error).split())
    return message.replace(address.password, "***") if address.password else message
