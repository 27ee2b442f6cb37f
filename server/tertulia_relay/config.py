"""The relay's settings: ``relay.toml``, read once at the start.

Unknown keys and values of the wrong type are errors that name the key: a limit that was misspelt and so never took
effect is worse than a relay that does not start.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from tertulia_protocol.errors import DecodeError
from tertulia_protocol.relay_api import limits
from tertulia_protocol.relay_api.addresses import check_uri
from tertulia_protocol.relay_api.responses import RelayLimits
from tertulia_relay.errors import AddressError, ConfigError

DEFAULT_LISTEN = "127.0.0.1:8440"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
MebiBytes = Annotated[int, msgspec.Meta(ge=1, le=65536)]


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process takes at once. Times in seconds."""

    connections: Annotated[int, msgspec.Meta(ge=4, le=100_000)] = 1000
    header_seconds: Seconds = 10
    idle_seconds: Seconds = 75
    body_seconds: Seconds = 10
    write_seconds: Seconds = 10
    min_bytes_per_second: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 8192
    incoming_mib: MebiBytes = 64
    outgoing_mib: MebiBytes = 64


class QuotaConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers that INFO shows to clients."""

    log_mib: MebiBytes = limits.LOG_QUOTA_BYTES >> 20
    blob_mib: MebiBytes = limits.BLOB_QUOTA_BYTES >> 20
    append_burst_units: Annotated[int, msgspec.Meta(ge=64, le=1 << 20)] = limits.APPEND_BURST_UNITS
    append_units_per_second: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = limits.APPEND_UNITS_PER_SECOND
    wait_max_s: Annotated[int, msgspec.Meta(ge=1, le=limits.WAIT_MAX_SECONDS)] = limits.WAIT_MAX_SECONDS

    def limits(self) -> RelayLimits:
        """Return them as the protocol states them."""
        return RelayLimits(
            log_quota_bytes=self.log_mib << 20,
            blob_quota_bytes=self.blob_mib << 20,
            append_burst_units=self.append_burst_units,
            append_units_per_second=self.append_units_per_second,
            wait_max_s=self.wait_max_s,
        )


class StorageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database. ``max_mib`` 0: as large as the disk."""

    max_mib: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. ``uri`` is where people reach the relay; empty: at ``http://`` and the listening address."""

    uri: str = ""
    listen: str = DEFAULT_LISTEN
    http: HttpConfig = HttpConfig()
    quota: QuotaConfig = QuotaConfig()
    storage: StorageConfig = StorageConfig()


TEMPLATE = """\
# A Tertulia relay. Every setting that is not given keeps its default.

# Where people reach this relay: https://..., or http://... of an onion service. Part of every relay card: people
# who hold an old card find the relay only at the old address. Empty: http:// and the address it listens on.
uri = {uri}

# Where it listens. Keep it on this machine and put a TLS proxy or an onion service in front.
listen = {listen}

# [http]
# connections = 1000            at once; above it, idle ones give way
# header_seconds = 10           to send the request's header
# body_seconds = 10             and one more for every min_bytes_per_second of the body
# min_bytes_per_second = 8192
# incoming_mib = 64             request bodies in memory at once
# outgoing_mib = 64             answers in memory at once

# [quota]
# log_mib = 64                  entries of one circle between two hops
# blob_mib = 256                attachments of one circle between two hops
# append_burst_units = 1024     one unit is 4 KiB
# append_units_per_second = 8
# wait_max_s = 50               how long a reader may wait for the next entry

# [storage]
# max_mib = 0                   the database never grows past this; 0: as large as the disk
"""


def render_config(*, uri: str, listen: str) -> str:
    """Return the text of a new ``relay.toml``."""
    # The basic strings of TOML and of JSON agree on everything an address can hold.
    return TEMPLATE.format(uri=msgspec.json.encode(uri).decode(), listen=msgspec.json.encode(listen).decode())


_MSGSPEC_MESSAGE = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<key>[^`]*)`)?$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<key>[^`]+)`")


def _config_error(path: Path, error: msgspec.ValidationError) -> ConfigError:
    parts = _MSGSPEC_MESSAGE.match(str(error))
    problem, key = (parts["problem"], parts["key"] or "") if parts else (str(error), "")
    if unknown := _UNKNOWN_FIELD.search(problem):
        key = f"{key}.{unknown['key']}" if key else unknown["key"]
        problem = f"{key}: unknown key"
    else:
        problem = f"{key}: {problem}"
    return ConfigError(path=path, key=key, problem=problem)


def load_config(path: Path) -> Config:
    """Read and check ``relay.toml``. :raises ConfigError: missing, not TOML, or a key is unknown or wrong."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
        config = msgspec.convert(raw, Config, strict=True)
    except FileNotFoundError as error:
        raise ConfigError(path=path, key="the file", problem="there is no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path=path, key="the file", problem=str(error)) from error
    except msgspec.ValidationError as error:
        raise _config_error(path, error) from error
    check_addresses(path, config)
    return config


def check_addresses(path: Path, config: Config) -> None:
    """Check ``uri`` and ``listen``. :raises ConfigError: one cannot be used."""
    try:
        split_listen(config.listen)
    except AddressError as error:
        raise ConfigError(path=path, key="listen", problem=f"listen: {error.values['problem']}") from error
    if not config.uri:
        return
    try:
        check_uri(config.uri)
    except DecodeError as error:
        raise ConfigError(path=path, key="uri", problem=f"uri: {error.detail}") from error


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[HOST]:PORT``. :raises AddressError: it is neither."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise AddressError(address=listen, problem="it is not HOST:PORT")
    return host, int(port)


def join_listen(host: str, port: int) -> str:
    """Return ``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def public_uri(config: Config, listen: str) -> str:
    """Return the URI in this relay's card, given where it listens. :raises AddressError: it is none people can use."""
    uri = config.uri or f"http://{listen}"
    try:
        check_uri(uri)
    except DecodeError as error:
        raise AddressError(address=uri, problem=error.detail) from error
    return uri
