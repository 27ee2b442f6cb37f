"""Where a relay is: URIs that are allowed, relay cards, enrolment strings (docs/protocol, "Addresses")."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from tertulia_protocol.codec import Reader, Writer, parse, serialize
from tertulia_protocol.errors import DecodeError
from tertulia_protocol.signing import is_valid_key

ENROLMENT_PREFIX = "tertulia-relay:"
CODE_LENGTH = 16
MAX_URI = 255
PLAIN_URI = re.compile(r"[a-z]+://[A-Za-z0-9._~:\[\]-]+(/[A-Za-z0-9._~/-]*)?")


def check_uri(uri: str) -> None:
    """Check that a relay may be reached at ``uri``: https, or http to an onion service or to this machine.

    :raises DecodeError: anything else, or a user name, a query or a fragment in it, or more than 255 characters.
    """
    check_plain(uri)
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise DecodeError("a relay address is not a URI") from error
    if not host:
        raise DecodeError("a relay address has no host")
    check_transport(parts.scheme, host)


def check_plain(uri: str) -> None:
    """Check that ``uri`` has only characters that every parser reads alike.

    Parsers disagree about ``@``, backslashes and white space (some drop line ends in the middle of a host), and a
    card separates the key with ``#``: none of them belongs into a relay's address.

    :raises DecodeError: another character, or more than 255 of them.
    """
    if len(uri) > MAX_URI or not PLAIN_URI.fullmatch(uri):
        raise DecodeError("a relay address must be a plain URI")


def check_transport(scheme: str, host: str) -> None:
    """Check that bytes to ``host`` are protected on their way. :raises DecodeError: they are not."""
    if scheme == "https" or (scheme == "http" and (host.endswith(".onion") or _is_loopback(host))):
        return
    raise DecodeError("a relay address must be https, or http to an onion service or to this machine")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def to_base64url(data: bytes) -> str:
    """Return ``data`` in base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Read base64url without padding, in its one form. :raises DecodeError: another alphabet, padding or form."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError("not base64url") from error
    if to_base64url(data) != text:
        raise DecodeError("not base64url in its one form")
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAddr:
    """A relay's key (32 bytes) and URI: what a relay card says. No secret."""

    relay_pk: bytes
    uri: str

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, an invalid key, or a URI that is not allowed."""
        relay_pk, raw = reader.raw(32), reader.opaque()
        try:
            uri = raw.decode("ascii")
        except UnicodeDecodeError as error:
            raise DecodeError("a relay address is not ASCII") from error
        address = cls(relay_pk=relay_pk, uri=uri)
        address.check()
        return address

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the key has not 32 bytes."""
        writer.fixed(self.relay_pk, 32)
        writer.opaque(self.uri.encode("ascii"))

    def check(self) -> None:
        """Check key and URI. :raises DecodeError: one is not allowed."""
        check_uri(self.uri)
        if not is_valid_key(self.relay_pk):
            raise DecodeError("a relay key is not valid")

    def card(self) -> str:
        """Return the relay card, ``URL#key``."""
        return f"{self.uri}#{to_base64url(self.relay_pk)}"

    @classmethod
    def from_card(cls, card: str) -> Self:
        """Read a relay card. :raises DecodeError: malformed, an invalid key, or a URI that is not allowed."""
        uri, mark, key = card.partition("#")
        if not mark:
            raise DecodeError("a relay card has no key")
        address = cls(relay_pk=from_base64url(key), uri=uri)
        address.check()
        return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What an operator hands to a coordinator: where the relay is, its key, and a code with a budget."""

    relay: RelayAddr
    code: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """:raises DecodeError: truncated, or another version."""
        version = reader.u8()
        if version != 1:
            raise DecodeError(f"enrolment version {version}")
        return cls(relay=RelayAddr.decode(reader), code=reader.raw(CODE_LENGTH))

    def encode(self, writer: Writer) -> None:
        """:raises ValueError: the code has not 16 bytes."""
        writer.u8(1)
        self.relay.encode(writer)
        writer.fixed(self.code, CODE_LENGTH)

    def to_string(self) -> str:
        """Return the one-line form. It is a secret."""
        return ENROLMENT_PREFIX + to_base64url(serialize(self))

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the one-line form. :raises DecodeError: malformed."""
        text = text.strip()
        if not text.startswith(ENROLMENT_PREFIX):
            raise DecodeError("an enrolment string begins with " + ENROLMENT_PREFIX)
        return parse(cls, from_base64url(text.removeprefix(ENROLMENT_PREFIX)))
