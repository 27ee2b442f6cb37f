"""Words, passphrases, and the keys that come from them."""

from __future__ import annotations

import unicodedata

import pytest

from tertulia import identity
from tertulia.errors import PhraseError, WeakPassphraseError
from tertulia.store import meta
from tertulia_protocol.circle.identity import member_key, person_seed
from tertulia_protocol.errors import InternalError
from tests.support.stores import create_store
from tests.support.virtual_clock import SeededRng, virtual

# BIP-39's own test vector of 32 bytes.
ROOT = bytes.fromhex("68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c")
WORDS = (
    "hamster diagram private dutch cause delay private meat slide toddler razor book "
    "happy fancy gospel tennis maple dilemma loan word shrug inflict delay length"
)


def test_the_words_are_those_of_bip39():
    assert " ".join(identity.phrase_of(ROOT)) == WORDS
    assert identity.root_of(WORDS) == ROOT


@pytest.mark.parametrize("language", ["en", "fr", "es", "fr_CH", "ar", "xx"])
def test_every_list_leads_back(language):
    for number in range(20):
        root = SeededRng((language, number))(32)
        words = identity.phrase_of(root, language)
        assert len(words) == 24
        assert identity.root_of(" ".join(words)) == root


def test_how_it_is_typed_does_not_matter():
    phrases = (identity.phrase_of(SeededRng(number)(32), "fr") for number in range(100))
    words = next(words for words in phrases if not all(word.isascii() for word in words))
    root = identity.root_of(" ".join(words))
    plain = "".join(c for c in unicodedata.normalize("NFD", " ".join(words)) if not unicodedata.combining(c))
    for typed in ("  ".join(words).upper(), unicodedata.normalize("NFD", "\n".join(words)), plain):
        assert identity.root_of(typed) == root


@pytest.mark.parametrize(
    "phrase",
    ["", WORDS + " length", " ".join(WORDS.split()[:-1]), WORDS.replace("hamster", "hamstre"),
     WORDS.replace("hamster diagram", "diagram hamster"), WORDS.replace("hamster", "happy")],
    ids=["none", "25", "23", "misspelt", "swapped", "another"],
)  # fmt: skip
def test_other_words_are_refused(phrase):
    with pytest.raises(PhraseError) as caught:
        identity.root_of(phrase)
    assert caught.value.code == "phrase.invalid"
    assert "hamster" not in str(caught.value)


def test_a_root_has_one_length():
    with pytest.raises(ValueError, match="32"):
        identity.phrase_of(bytes(16))


@pytest.mark.parametrize(
    "passphrase", ["twelve chars", "a b c d e f", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643\u0645 x y z w"]
)
def test_long_passphrases_are_taken(passphrase):
    identity.check_new_passphrase(passphrase)


@pytest.mark.parametrize("passphrase", ["", "eleven char", "a b c d e"])
def test_short_ones_are_refused(passphrase):
    with pytest.raises(WeakPassphraseError) as caught:
        identity.check_new_passphrase(passphrase)
    assert caught.value.code == "passphrase.weak"


@pytest.mark.parametrize("language", ["en", "fr", "es"])
def test_suggestions_are_long_enough_and_differ(language):
    rng = SeededRng(language)
    suggested = {identity.suggest_passphrase(rng, language) for _ in range(50)}
    assert len(suggested) == 50
    for passphrase in suggested:
        identity.check_new_passphrase(passphrase)
        assert all(word in identity.word_list(language) for word in passphrase.split())


@virtual
async def test_a_profile_keeps_the_person_and_not_the_words(tmp_path):
    def setup(tx):
        identity.write_profile(tx, root=ROOT, name="\u0623\u0645\u064a\u0646\u0629", language="fr")

    async with await create_store(tmp_path / "profile", setup=setup) as store:
        assert await store.read(identity.profile_name) == "\u0623\u0645\u064a\u0646\u0629"
        assert await store.read(identity.profile_language) == "fr"
        lineage_id = b"l" * 32
        key = await store.read(lambda tx: identity.member_key(tx, lineage_id))
        assert key.public_key == member_key(person_seed(ROOT, 0), lineage_id).public_key
        stored = await store.read(lambda tx: tx.query("SELECT value FROM meta"))
        assert ROOT not in [value for (value,) in stored]
        await store.run(lambda tx: tx.execute("DELETE FROM meta WHERE name = ?", (meta.PERSON_SEED,)))
        with pytest.raises(InternalError):
            await store.read(lambda tx: identity.member_key(tx, lineage_id))
