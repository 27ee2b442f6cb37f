"""Credentials (RFC 9420 section 5.3): who a member says it is; the application decides whether it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.errors import UnsupportedError

BASIC: Final = 1
X509: Final = 2


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential. ``data`` is the identity of a basic one, the whole ``Certificate<V>`` of an X.509 one."""

    type: int
    data: bytes

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises UnsupportedError: of another type: its length cannot be known."""
        kind = reader.u16()
        check_credential_type(kind)
        start = reader.position
        if kind == X509:
            reader.vector(Reader.opaque)
            return cls(kind, reader.since(start))
        return cls(kind, reader.opaque())

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(self.type)
        if self.type == X509:
            writer.raw(self.data)
        else:
            writer.opaque(self.data)

    @property
    def identity(self) -> bytes:
        """Return the identity of a basic credential. :raises UnsupportedError: it is of another type."""
        check_basic(self)
        return self.data


def basic_credential(identity: bytes) -> Credential:
    """Return a basic credential; ``identity`` has any length."""
    return Credential(BASIC, identity)


def check_credential_type(kind: int) -> None:
    """Check that credentials of this type can be read. :raises UnsupportedError: they cannot."""
    if kind not in {BASIC, X509}:
        raise UnsupportedError(f"credential type {kind:#06x}")


def check_basic(credential: Credential) -> None:
    """Check that a credential is a basic one: no other can be judged here. :raises UnsupportedError: it is not."""
    if credential.type != BASIC:
        raise UnsupportedError(f"credential type {credential.type:#06x} cannot be judged")
