"""MLSMessage (RFC 9420 section 6): the envelope of everything that leaves a client on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from tertulia_protocol.codec import Reader, Writer
from tertulia_protocol.mls.extensions import MLS10, check_version
from tertulia_protocol.mls.framing import PrivateMessage, PublicMessage, WireFormat
from tertulia_protocol.mls.key_package import KeyPackage
from tertulia_protocol.mls.welcome import GroupInfo, Welcome

Body: TypeAlias = PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage

_KINDS: Final[dict[WireFormat, type[Body]]] = {
    WireFormat.PUBLIC_MESSAGE: PublicMessage,
    WireFormat.PRIVATE_MESSAGE: PrivateMessage,
    WireFormat.WELCOME: Welcome,
    WireFormat.GROUP_INFO: GroupInfo,
    WireFormat.KEY_PACKAGE: KeyPackage,
}
_FORMATS: Final = {kind: wire_format for wire_format, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class MLSMessage:
    """One message, whatever it is."""

    body: Body

    @classmethod
    def decode(cls, reader: Reader) -> Self:
        """Read one. :raises InvalidMessageError: malformed, or of an unknown version or wire format."""
        check_version(reader.u16())
        return cls(_KINDS[WireFormat.decode(reader)].decode(reader))

    def encode(self, writer: Writer) -> None:
        """Append the wire form."""
        writer.u16(MLS10)
        writer.u16(self.wire_format)
        self.body.encode(writer)

    @property
    def wire_format(self) -> WireFormat:
        """Return what this holds."""
        return _FORMATS[type(self.body)]
