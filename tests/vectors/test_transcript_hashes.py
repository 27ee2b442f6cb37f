"""transcript-hashes, suites 1 and 3."""

from __future__ import annotations

import pytest

from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import AuthenticityError
from tertulia_protocol.mls.ciphersuite import SUITES
from tertulia_protocol.mls.framing import AuthenticatedContent
from tertulia_protocol.mls.key_schedule import confirmation_tag, verify_confirmation_tag
from tertulia_protocol.mls.transcript import confirmed_transcript_hash, interim_transcript_hash
from tests.support.vectors import load_vectors

CASES = 2


def test_transcript_hashes():
    cases = [case for case in load_vectors("transcript-hashes") if case["cipher_suite"] in SUITES]
    assert len(cases) == CASES
    for case in cases:
        suite = SUITES[case["cipher_suite"]]
        values = {name: bytes.fromhex(value) for name, value in case.items() if isinstance(value, str)}
        commit = parse(AuthenticatedContent, values["authenticated_content"])
        assert serialize(commit) == values["authenticated_content"]
        confirmed = confirmed_transcript_hash(suite, values["interim_transcript_hash_before"], commit)
        assert confirmed == values["confirmed_transcript_hash_after"]

        tag = commit.auth.confirmation_tag
        assert tag is not None
        verify_confirmation_tag(suite, values["confirmation_key"], confirmed, tag)
        assert confirmation_tag(suite, values["confirmation_key"], confirmed) == tag
        with pytest.raises(AuthenticityError):
            verify_confirmation_tag(suite, values["confirmation_key"], values["interim_transcript_hash_before"], tag)
        assert interim_transcript_hash(suite, confirmed, tag) == values["interim_transcript_hash_after"]
