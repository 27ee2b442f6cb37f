"""What can go wrong at the relay: its leaves of the tree in :mod:`tertulia_protocol.errors`.

::

    UsageError
    ├── MissingDirectoryError   relay.not_found
    ├── ExistsError             relay.exists
    ├── ConfigError             relay.config
    ├── AddressError            relay.address
    ├── NoAddressError          relay.no_address
    └── PortInUseError          relay.port_in_use
    StorageError
    ├── KeyFileError            relay.key
    ├── PermissionsError        relay.permissions
    ├── OwnerError              relay.owner
    ├── FilesError              relay.files
    ├── AlreadyRunningError     relay.running
    └── LowDiskError            relay.low_disk
    InternalError
    └── StoppedError            relay.stopped

The leaves about the database while it is in use (full disk, newer schema) are in ``storage/errors.py``.
Who reads these is the operator. None ever carries a byte of a request.
"""

from __future__ import annotations

from tertulia_protocol.errors import InternalError, StorageError, UsageError


class MissingDirectoryError(UsageError):
    """There is no relay in {path}."""

    code = "relay.not_found"
    next = "Make one with: tertulia-relay init {path}"


class ExistsError(UsageError):
    """There is already a relay, or a part of one, in {path}."""

    code = "relay.exists"
    kept = "Nothing was changed; a relay's key is never overwritten."
    next = "Choose another directory, or use the relay that is there."


class ConfigError(UsageError):
    """The configuration {path} has a mistake: {problem}."""

    code = "relay.config"
    next = "Correct {key} in {path} and try again."


class AddressError(UsageError):
    """The relay cannot use the address {address}: {problem}."""

    code = "relay.address"
    next = "Set uri in relay.toml to the https or onion address that people use, and listen to HOST:PORT."


class NoAddressError(UsageError):
    """It is not known at which address people reach this relay."""

    code = "relay.no_address"
    next = "Set uri in relay.toml, start the relay first, or give --uri."


class PortInUseError(UsageError):
    """Another program already listens on {address}."""

    code = "relay.port_in_use"
    next = "Stop that program or choose another address with --listen or in relay.toml."


class KeyFileError(StorageError):
    """The relay's key {path} cannot be used: {problem}."""

    code = "relay.key"
    next = "Put the right key file back from your backup. A relay with another key is another relay."


class PermissionsError(StorageError):
    """Other users of this machine can reach {path}."""

    code = "relay.permissions"
    next = "Run: chmod go= {path}"


class OwnerError(StorageError):
    """{path} belongs to another user of this machine."""

    code = "relay.owner"
    next = "Run the command as the user {owner}: files made by another user would stop the relay."


class FilesError(StorageError):
    """The relay cannot read or write its files: {problem}."""

    code = "relay.files"
    next = "Check the path, the permissions and the disk, and try again."


class AlreadyRunningError(StorageError):
    """A relay is already running in {path}."""

    code = "relay.running"
    next = "Stop it first; one process serves a directory."


class LowDiskError(StorageError):
    """Only {free} MiB are free on the volume of the relay."""

    code = "relay.low_disk"
    next = "Free some space; a full disk stops everybody from writing."


class StoppedError(InternalError):
    """A part of the relay stopped by itself: {part}."""

    code = "relay.stopped"
    kept = "What was already acknowledged is kept."
    next = "Start the relay again; if it happens again, report it with the code above."
