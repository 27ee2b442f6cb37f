"""Brings a database to the newest schema, or refuses one that is newer than this code.

Alembic is loaded only when there is something to migrate: it is a quarter of the time in which a relay starts.
"""

from __future__ import annotations

import importlib.resources

from sqlalchemy import Connection, inspect, text

from tertulia_relay.storage.errors import SchemaTooNewError
from tertulia_relay.storage.migrations import SCHEMAS

NEWEST = SCHEMAS[-1]


def read_schema(connection: Connection) -> str | None:
    """Return the name of the database's schema, None: it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    name: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return name


def check_schema_known(connection: Connection) -> None:
    """Check that this code knows the schema of the database. :raises SchemaTooNewError: it does not."""
    schema = read_schema(connection)
    if schema is not None and schema not in SCHEMAS:
        raise SchemaTooNewError(f"schema {schema}")


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest schema, inside the caller's transaction.

    :raises SchemaTooNewError: a newer version of Tertulia wrote it.
    """
    check_schema_known(connection)
    if read_schema(connection) != NEWEST:
        _run_migrations(connection)


def _run_migrations(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - loaded when needed
    from alembic.config import Config  # noqa: PLC0415 - loaded when needed

    config = Config()
    config.set_main_option("script_location", str(importlib.resources.files("tertulia_relay.storage") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
