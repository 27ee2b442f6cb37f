"""The transcript hashes: what all commits so far amount to (RFC 9420 section 8.2)."""

from __future__ import annotations

from tertulia_protocol.codec import Writer
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.framing import AuthenticatedContent


def confirmed_transcript_hash(suite: CipherSuite, interim_before: bytes, commit: AuthenticatedContent) -> bytes:
    """Return the hash (Nh bytes) of everything up to a commit, its signature included, its confirmation tag not.

    :param interim_before: the interim hash of the epoch in which the commit was sent; empty in the first one.
    """
    writer = Writer()
    writer.raw(interim_before)
    writer.u16(commit.wire_format)
    commit.content.encode(writer)
    writer.opaque(commit.auth.signature)
    return suite.hash(writer.getvalue())


def interim_transcript_hash(suite: CipherSuite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """Return the hash (Nh bytes) of everything up to a commit, its confirmation tag included."""
    writer = Writer()
    writer.raw(confirmed)
    writer.opaque(confirmation_tag)
    return suite.hash(writer.getvalue())
