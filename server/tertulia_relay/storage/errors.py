"""What can go wrong with the relay's database."""

from __future__ import annotations

from tertulia_protocol.errors import StorageError


class DatabaseError(StorageError):
    """The relay's database cannot be read or written."""

    code = "relay.storage"
    next = "Check the disk and the permissions of the relay's directory, then start the relay again."


class DiskFullError(DatabaseError):
    """The disk of the relay is full; nothing new can be stored."""

    code = "relay.storage.full"
    kept = "Everything stored so far is kept and can still be read."
    next = "Free space or move the relay's directory to a larger disk; the relay goes on by itself."


class SchemaTooNewError(DatabaseError):
    """The relay's database was written by a newer version of Tertulia."""

    code = "relay.storage.newer"
    next = "Install the version of Tertulia that wrote it, or a newer one."


class DatabaseBusyError(DatabaseError):
    """The relay's database is in use by something else."""

    code = "relay.storage.busy"
    next = "Stop whatever else has the database open; the relay goes on by itself."


class DatabaseDamagedError(DatabaseError):
    """The relay's database is damaged, or is no database."""

    code = "relay.storage.damaged"
    next = "Stop the relay and put the database back from your backup."
