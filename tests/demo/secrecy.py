"""The last step: nothing of what anybody wrote is to be found at the relay, and the search finds what is planted."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from tests.demo import texts
from tests.demo.commands import check
from tests.demo.files import RealFile
from tests.demo.holdings import read_files, squeezed
from tests.demo.search import Needle, data_needles, file_needles, planted, search, text_needles
from tests.demo.story import Cast

ENOUGH = 4096
"""Bytes from which on it can be measured whether something is noise."""


def check_nothing_readable(cast: Cast, background: dict[str, bytes]) -> None:
    """Search for every text, name, identifier, secret and file in every file of the relay, its log and its output.

    What the relay's files held before anybody came (``background``) says nothing about people.
    """
    needles = all_needles(cast)
    check_detector(cast)
    common = {one.needle for one in search(background, needles)}
    check(not any(one.what in _own_texts() for one in common), "texts that an empty relay does not hold", common)
    sought = [needle for needle in needles if needle not in common]
    found = search(relay_files(cast), sought)
    check(not found, "nothing readable at the relay", "; ".join(map(str, found[:5])))
    found = search(read_files(*(person.profile for person in cast.everybody)), sought)
    check(not found, "nothing readable in the locked profiles", "; ".join(map(str, found[:5])))
    check_noise(cast)
    whats = {needle.what for needle in sought}
    lines = [f"{len(whats)} texts, names, numbers and files", f"in {len(sought)} forms and pieces: found 0 times"]
    cast.seen.append(("The search sees", lines))


def relay_files(cast: Cast) -> dict[str, bytes]:
    """Return all that the relay keeps or has ever said."""
    return read_files(cast.relay.directory, cast.relay.log) | {"standard output": cast.relay.output.encode()}


def check_detector(cast: Cast) -> None:
    """Plant a text in every form in the relay's own folder, and in its log: each must be found, and where it lies."""
    needles = text_needles("planted", texts.MARKET)
    for form, data in planted(texts.MARKET).items():
        file = cast.relay.directory / "planted"
        file.write_bytes(data)
        try:
            places = {one.place for one in search(read_files(file), needles)}
        finally:
            file.unlink()
        check(any(place.endswith("/planted") for place in places), f"a search that finds {form}", places)


def check_noise(cast: Cast) -> None:
    """What members sent must not get smaller by squeezing: anything but noise does."""
    for thing in cast.holdings().of("entry", "blob"):
        if len(thing.data) >= ENOUGH:
            rest = squeezed(thing.data)
            check(rest > 0.99, f"noise in {thing.label}", f"{rest:.0%} of it after squeezing")
    small = b"".join(thing.data for thing in cast.holdings().of("entry") if len(thing.data) < ENOUGH)
    check(not small or squeezed(small) > 0.9, "noise in the entries", f"{squeezed(small or b'-'):.0%} after squeezing")


def _own_texts() -> dict[str, str]:
    return {name: value for name, value in vars(texts).items() if name.isupper() and isinstance(value, str)}


def all_needles(cast: Cast) -> list[Needle]:
    """Return everything that the relay must not know, in every form."""
    return list(dict.fromkeys(_needles(cast)))


def _needles(cast: Cast) -> Iterator[Needle]:
    for name, text in (_own_texts() | texts.PASSPHRASES | cast.secrets).items():
        yield from text_needles(name, text)
    yield from _identifiers(cast)
    # A code is its relay's address and key, then what must stay secret.
    text = cast.secrets["enrolment code"].partition(":")[2]
    yield from data_needles("enrolment code", base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[-12:])
    yield from file_needles(texts.MAP_FILE, (cast.leila.folder / texts.MAP_FILE).read_bytes())
    for file in cast.files:
        yield from _file(file)


def _identifiers(cast: Cast) -> Iterator[Needle]:
    for what, identifier in (cast.ids | cast.posts).items():
        yield from text_needles(what, identifier)
        yield from data_needles(what, base64.b32decode(identifier.partition("_")[2].upper()))


def _file(file: RealFile) -> Iterator[Needle]:
    name = file.path.name
    yield from text_needles(f"name of {name}", name)
    yield from file_needles(name, file.data)
    if file.body is not None:
        yield from text_needles(name, file.body)
