"""Brings a database to the newest schema, or refuses one that is newer than this code."""

from __future__ import annotations

import importlib.resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from tertulia_relay.storage.errors import SchemaTooNewError


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(importlib.resources.files("tertulia_relay.storage") / "migrations"))
    config.attributes["connection"] = connection
    return config


def check_schema_known(connection: Connection) -> None:
    """Check that this code knows the schema of the database. :raises SchemaTooNewError: it does not."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return
    try:
        ScriptDirectory.from_config(_config(connection)).get_revision(revision)
    except CommandError as error:
        raise SchemaTooNewError(f"schema {revision}") from error


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest schema, inside the caller's transaction.

    :raises SchemaTooNewError: a newer version of Tertulia wrote it.
    """
    check_schema_known(connection)
    command.upgrade(_config(connection), "head")
