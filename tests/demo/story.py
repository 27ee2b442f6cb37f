"""The story, step by step. Each step does something with the two commands and checks what must follow from it.

Amina coordinates and writes English, Bakary French, Leila Arabic; Diego comes late and has to be removed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.demo import texts
from tests.demo.commands import Person, check, together
from tests.demo.files import RealFile
from tests.demo.holdings import Holdings, read_holdings
from tests.demo.layout import size
from tests.support.relay_process import RelayProcess

ATTACHMENT_BYTES = 4_500_000

Post = dict[str, Any]


@dataclass
class Cast:
    """Everybody and everything that takes part."""

    relay: RelayProcess
    amina: Person
    bakary: Person
    leila: Person
    diego: Person
    files: Sequence[RealFile] = ()
    ids: dict[str, str] = field(default_factory=dict)
    """Identifiers that were given out, by what they name."""
    secrets: dict[str, str] = field(default_factory=dict)
    posts: dict[str, str] = field(default_factory=dict)
    """Identifiers of posts by their titles."""
    typed: list[str] = field(default_factory=list)
    """What people typed in this step."""
    seen: list[tuple[str, list[str]]] = field(default_factory=list)
    """What people see in this step: a heading and lines."""

    @property
    def everybody(self) -> tuple[Person, Person, Person, Person]:
        """All four."""
        return self.amina, self.bakary, self.leila, self.diego

    def holdings(self) -> Holdings:
        """Return what the relay holds now."""
        return read_holdings(self.relay.directory / "relay.db")

    def shows(self, person: Person, lines: Iterable[str]) -> None:
        """Keep what a person sees, for the page."""
        self.seen.append((f"{person.short} sees", list(lines)))

    def shows_posts(self, person: Person, posts: Iterable[Post]) -> None:
        """Keep the posts that a person sees."""
        self.shows(person, [line for post in posts for line in _shown(post)] or ["(no posts)"])


Action = Callable[[Cast], None]
STEPS: list[tuple[str, Action]] = []


def step(title: str) -> Callable[[Action], Action]:
    """Make a function the next step."""

    def add(action: Action) -> Action:
        STEPS.append((title, action))
        return action

    return add


def _shown(post: Post) -> list[str]:
    title = f"{post['title']} — {post['author_name']}" if post["title"] else f"  > {post['author_name']}"
    margin = "  " if post["title"] else "    "
    files = [f"{margin}[{one['name']}, {size(one['size'])}]" for one in post["attachments"]]
    note = [f"{margin}(from the history)"] if post["forwarded_by"] else []
    first = post["body"].strip().splitlines()[:3]
    return [title, *(margin + line for line in first), *files, *note]


def _posts(person: Person, *options: str) -> list[Post]:
    return list(person("read", *options)["posts"])


def _all_read(*people: Person) -> list[list[Post]]:
    return [list(answer["posts"]) for answer in together(*(person.start("read") for person in people))]


def _titled(posts: Iterable[Post], title: str) -> list[Post]:
    return [post for post in posts if post["title"] == title]


def _the_one(posts: Iterable[Post], title: str, body: str) -> Post:
    found = _titled(posts, title)
    check(len(found) == 1, f"one post called {title!r}", f"{len(found)}")
    check(found[0]["body"] == body, f"the text of {title!r} as it was written", found[0]["body"][:200])
    return found[0]


def _sent(made: dict[str, Any]) -> str:
    check(made["state"] == "sent", "the post to be read back from the relay", made["state"])
    return str(made["id"])


def _topic(person: Person, board: str, title: str, body: str, *options: str) -> tuple[str, ...]:
    return ("post", "--board", board, "--title", title, "--language", person.lang, *options, body)


# --- Founding and joining


@step("A relay starts on this machine: an SQLite file with nothing in it")
def relay_starts(cast: Cast) -> None:
    """The relay is up, and nobody has come."""
    things = cast.holdings().things
    check(not things, "an empty relay", list(things))
    cast.seen.append(("The operator sees", [cast.relay.card]))


@step("Four people make their profiles, each protected by a passphrase")
def profiles(cast: Cast) -> None:
    """Profiles are made offline: the relay learns nothing of it. The recovery words lie in a file for nobody else."""
    for pair in (cast.everybody[:2], cast.everybody[2:]):
        together(*(one.start("init", "--name", one.name, "--phrase-file", one.phrase.name) for one in pair))
    for one in cast.everybody:
        words = one.phrase.read_text(encoding="utf-8").split()
        check(len(words) == 24, "24 recovery words", len(words))
        mode = one.phrase.stat().st_mode & 0o777
        check(mode == 0o600, "a file for its owner alone", oct(mode))
        cast.secrets[f"recovery words of {one.short}"] = " ".join(words)
    check(not cast.holdings().things, "a relay that has heard of nobody")


@step("Amina founds a circle with a code of the operator")
def founding(cast: Cast) -> None:
    """The code is good once for so many units; the relay keeps its hash."""
    code = cast.relay.enrolment()
    cast.secrets["enrolment code"] = code
    made = cast.amina("circle", "create", texts.CIRCLE, "--code-file", "-", given=code)
    cast.ids["circle"] = made["id"]
    cast.shows(cast.amina, [f"{made['id']}  {made['alias']}"])
    count = len(cast.holdings().of("segment"))
    check(count == 2, "two segments at the relay: the circle's log and its letter box", count)


@step("Bakary joins: he reads four words out, Amina compares them; wrong words let nobody in")
def bakary_joins(cast: Cast) -> None:
    """The words are French since Amina invites him in French."""
    words, asked = _asks(cast, cast.bakary, lang="fr")
    (request,) = cast.amina("request", "list")["requests"]
    check(request["id"] == asked["id"], "the request of the joiner", request["id"])
    check(request["name"] == texts.BAKARY, f"a request of {texts.BAKARY}", request["name"])
    check(request["others"] == 0, "nobody else with the same link", request["others"])
    cast.shows(cast.amina, [f"{request['id']}  {request['name']}"])
    before = cast.holdings()
    wrong = [*words[:3], words[0] if words[0] != words[3] else words[1]]
    refused = cast.amina("approve", request["id"], "--words", " ".join(wrong), expect=3)
    check(refused["code"] == "trust.words_differ", "trust.words_differ", refused["code"])
    check(not cast.holdings().since(before), "nothing sent to the relay after wrong words")
    _lets_in(cast, cast.bakary, asked["id"], words, history="none")
    shown = cast.bakary("circle", "show")
    check(shown["state"] == "active", "Bakary in the circle", shown["state"])
    check(shown["id"] == cast.ids["circle"], "the same circle", shown["id"])
    check(shown["me"] == cast.ids["Bakary"], "the member that was approved", shown["me"])
    check(shown["members"] == 2, "two members", shown["members"])
    cast.shows(cast.bakary, [f"{shown['id']}  {shown['name']}", f"{shown['state']}, {shown['members']} members"])


def _asks(cast: Cast, joiner: Person, *, lang: str, spoken: str = "words") -> tuple[list[str], dict[str, Any]]:
    """Invite and ask; return the words (or numbers) on the joiner's screen, and all else that the joiner is told."""
    invited = cast.amina("invite", lang=lang)
    cast.secrets[f"link for {joiner.short}"] = invited["link"]
    asked = joiner("join", "--link-file", "-", given=invited["link"])
    cast.ids[f"request of {joiner.short}"] = asked["id"]
    cast.shows(joiner, [f"{' '.join(asked['words'])}   ({' '.join(asked['numbers'])})"])
    return list(asked[spoken]), asked


def _lets_in(cast: Cast, joiner: Person, request: str, words: Sequence[str], *, history: str) -> None:
    """Approve with what was read out; the joiner's next command finds the circle."""
    approved = cast.amina("approve", request, "--words", " ".join(words), "--history", history)
    check(approved["id"] == cast.ids[f"request of {joiner.short}"], "the request of the joiner", approved["id"])
    cast.ids[joiner.short] = approved["member"]


# --- Boards and posts


@step("Amina opens two boards; on one of them only she may open topics")
def boards(cast: Cast) -> None:
    """Who may do what is checked before anything is sent."""
    for name, options in ((texts.BOARD_NEWS, ("--announce-only",)), (texts.BOARD_FIELD, ())):
        made = cast.amina("board", "create", name, *options)
        cast.ids[name] = _sent(made)
    found = cast.bakary("board", "list")["boards"]
    names = [board["name"] for board in found]
    check(names == [texts.BOARD_NEWS, texts.BOARD_FIELD], "both boards in their order", names)
    cast.shows(cast.bakary, [f"{board['id']}  {board['name']}" for board in found])
    before = cast.holdings()
    refused = cast.bakary(*_topic(cast.bakary, texts.BOARD_NEWS, "Bonjour", texts.UNLIKELY), expect=8)
    check(refused["code"] == "circle.not_allowed", "circle.not_allowed", refused["code"])
    check(not cast.holdings().since(before), "nothing sent of what is not allowed")


@step("Amina writes in English, Bakary in French")
def two_languages(cast: Cast) -> None:
    """Both at once."""
    amina, bakary = cast.amina, cast.bakary
    made = together(
        amina.start(*_topic(amina, texts.BOARD_NEWS, texts.MEETING_TITLE, texts.MEETING)),
        bakary.start(*_topic(bakary, texts.BOARD_FIELD, texts.MARKET_TITLE, texts.MARKET)),
    )
    for title, one in zip((texts.MEETING_TITLE, texts.MARKET_TITLE), made, strict=True):
        cast.posts[title] = _sent(one)
    for person, posts in zip((amina, bakary), _all_read(amina, bakary), strict=True):
        check(len(posts) == 2, "two posts", len(posts))
        _the_one(posts, texts.MEETING_TITLE, texts.MEETING)
        _the_one(posts, texts.MARKET_TITLE, texts.MARKET)
        cast.shows_posts(person, posts)


@step("Leila joins; Amina gives her no history, so she reads nothing from before")
def leila_joins(cast: Cast) -> None:
    """Readers of Arabic are given numbers beside the words; either is compared."""
    numbers, asked = _asks(cast, cast.leila, lang="ar", spoken="numbers")
    _lets_in(cast, cast.leila, asked["id"], numbers, history="none")
    posts = _posts(cast.leila)
    check(posts == [], "no posts from before she came", [post["title"] for post in posts])
    check(texts.MARKET not in cast.leila.heard, "nothing of what was written before")
    cast.shows_posts(cast.leila, posts)


@step("Leila writes in Arabic; Bakary and Amina answer at the same moment")
def three_languages(cast: Cast) -> None:
    """Everybody sees the same thread in the same order."""
    leila, bakary, amina = cast.leila, cast.bakary, cast.amina
    topic = _sent(leila(*_topic(leila, texts.BOARD_FIELD, texts.ROAD_TITLE, texts.ROAD)))
    cast.posts[texts.ROAD_TITLE] = topic
    answers = together(
        bakary.start("reply", topic, "--language", "fr", texts.ROAD_REPLY_FR),
        amina.start("reply", topic, "--language", "en", texts.ROAD_REPLY_EN),
    )
    cast.ids |= {f"reply {place}": _sent(answer) for place, answer in enumerate(answers)}
    threads = [[post for post in posts if topic in {post["id"], post["topic"]}] for posts in _all_read(*_three(cast))]
    for person, thread in zip(_three(cast), threads, strict=True):
        bodies = {post["body"] for post in thread}
        check(bodies == {texts.ROAD, texts.ROAD_REPLY_FR, texts.ROAD_REPLY_EN}, "topic and both replies", bodies)
        check([post["id"] for post in thread] == [post["id"] for post in threads[0]], "the same order for all")
        cast.shows_posts(person, thread)


def _three(cast: Cast) -> tuple[Person, Person, Person]:
    return cast.amina, cast.bakary, cast.leila


@step(f"Leila sends a file of {ATTACHMENT_BYTES:,} bytes; the others save it, byte for byte")
def attachment(cast: Cast) -> None:
    """The name that its sender gave is shown, and never used as a path."""
    sent = cast.leila.folder / texts.MAP_FILE
    sent.write_bytes(random.SystemRandom().randbytes(ATTACHMENT_BYTES))
    post = _topic(cast.leila, texts.BOARD_FIELD, texts.MAP_TITLE, texts.MAP, "--attach", sent.name)
    cast.posts[texts.MAP_TITLE] = _sent(cast.leila(*post, "--wait"))
    readers = (cast.amina, cast.bakary)
    saved = [person.folder / "saved.img" for person in readers]
    pairs = zip(readers, saved, strict=True)
    together(*(one.start("attachment", "save", cast.posts[texts.MAP_TITLE], "--to", to.name) for one, to in pairs))
    for file in saved:
        check(file.read_bytes() == sent.read_bytes(), f"the same bytes in {file.parent.name}'s copy")
    cast.shows(cast.bakary, [f"{texts.MAP_FILE}", f"saved as {saved[1].name}: {size(ATTACHMENT_BYTES)}, identical"])


@step("Diego joins late; Amina gives him all of the history")
def diego_joins(cast: Cast) -> None:
    """He reads what was written before he came, and sees that it was Amina who gave it to him."""
    words, asked = _asks(cast, cast.diego, lang="es")
    _lets_in(cast, cast.diego, asked["id"], words, history="all")
    target = cast.diego.folder / "saved.img"
    known, posts = _all_read(cast.amina, cast.diego)
    check(_essence(posts) == _essence(known), "all posts from before", [post["title"] for post in posts])
    giver = {post["forwarded_by"] for post in posts}
    check(len(giver) == 1 and None not in giver, "one member who gave the history", giver)
    cast.ids["Amina"] = giver.pop()
    cast.diego("attachment", "save", cast.posts[texts.MAP_TITLE], "--to", target.name)
    check(target.read_bytes() == (cast.leila.folder / texts.MAP_FILE).read_bytes(), "the file from before he came")
    cast.shows_posts(cast.diego, posts[:2])
    cast.seen[-1][1].append(f"... and {len(posts) - 2} more, and the file")


def _essence(posts: Iterable[Post]) -> list[tuple[object, ...]]:
    """Return what must be equal for everybody who reads a post."""
    names = ("id", "type", "board", "topic", "parent", "author", "author_name", "title", "body", "lang", "edited")
    return [
        (*(post[name] for name in names), *(one["sha256"] for one in post["attachments"]))
        for post in sorted(posts, key=lambda post: str(post["id"]))
    ]


# --- Trouble


@step("The relay loses power; Bakary writes without it; it comes back with everything")
def power_cut(cast: Cast) -> None:
    """What Bakary wrote waits on his device: nothing of it is at the relay, which has lost nothing."""
    before = cast.holdings()
    cast.relay.kill()
    post = _topic(cast.bakary, texts.BOARD_FIELD, texts.OFFLINE_TITLE, texts.OFFLINE, "--timeout", "2")
    made = cast.bakary(*post)
    check(made["state"] == "waiting", "a post that waits", made["state"])
    cast.posts[texts.OFFLINE_TITLE] = made["id"]
    reading = cast.bakary.start("read", "--offline")
    cast.relay.restart()
    check(cast.holdings().things == before.things, "the relay as it was")
    waiting = _the_one(reading.answer()["posts"], texts.OFFLINE_TITLE, texts.OFFLINE)
    check(waiting["state"] == "waiting", "a post that waits", waiting["state"])
    cast.shows(cast.bakary, [texts.OFFLINE_TITLE, f"  {texts.OFFLINE}", "  (waiting to be sent)"])


@step("Amina removes Diego, whose telephone was taken: the circle moves on to new keys")
def removal(cast: Cast) -> None:
    """Without a terminal nobody is asked, so the removal says --yes."""
    before = cast.holdings()
    gone = cast.amina("remove", texts.DIEGO, "--yes")
    check(gone["id"] == cast.ids["Diego"], "the member that is Diego", gone["id"])
    new = [thing.kind for thing in cast.holdings().since(before)].count("segment")
    check(new == 2, "a new log with its letter box at the relay", f"{new} new segments")
    cast.shows(cast.amina, [f"{gone['id']}  {gone['name']}  is out since epoch {gone['epoch']}"])


@step("The others go on; Diego learns that he was removed, and reads and writes nothing new")
def removed(cast: Cast) -> None:
    """What he had stays readable to him; nothing that was written later is ever on his screen."""
    amina, leila, diego = cast.amina, cast.leila, cast.diego
    post = amina.start(*_topic(amina, texts.BOARD_NEWS, texts.AFTER_TITLE, texts.AFTER))
    known, made = _posts(diego, "--offline"), post.answer()
    cast.posts[texts.AFTER_TITLE] = _sent(made)
    cast.ids["late reply"] = _sent(leila("reply", made["id"], "--language", "ar", texts.AFTER_REPLY))
    report, left = together(diego.start("sync"), leila.start("members"))
    check([one["state"] for one in report["circles"]] == ["removed"], "a circle that says removed", report)
    names = {one["name"] for one in left["members"]}
    check(names == {texts.AMINA, texts.BAKARY, texts.LEILA}, "three members", names)
    cast.shows(leila, [f"{one['id']}  {one['name']}" for one in left["members"]])
    posts, new = _all_read(diego, leila)
    check(_essence(posts) == _essence(known), "exactly what he had", [post["title"] for post in posts])
    _the_one(new, texts.AFTER_TITLE, texts.AFTER)
    cast.shows_posts(leila, [one for one in new if made["id"] in {one["id"], one["topic"]}])
    before = cast.holdings()
    refused = diego(*_topic(diego, texts.BOARD_FIELD, "Hola", texts.UNLIKELY), expect=8)
    check(refused["code"] == "circle.removed", "circle.removed", refused["code"])
    check(not cast.holdings().since(before), "nothing of his at the relay")
    later = (texts.AFTER_TITLE, texts.AFTER, texts.AFTER_REPLY, texts.OFFLINE_TITLE)
    check(not any(text in diego.heard for text in later), "nothing that was written after he was removed")
    cast.shows(diego, [refused["message"], refused["kept"]])


@step("Bakary is back: he catches up across the move, and his post arrives exactly once")
def back(cast: Cast) -> None:
    """He wrote with keys that count no longer; his device writes it anew, and later syncs do not send it again."""
    report = cast.bakary("sync")["circles"]
    check([one["state"] for one in report] == ["active"], "a circle that is up to date", report)
    check(report[0]["waiting"] == 0, "nothing left to send", report[0]["waiting"])
    readers = (cast.amina, cast.leila)
    for person, posts in zip(readers, _all_read(*readers), strict=True):
        found = _the_one(posts, texts.OFFLINE_TITLE, texts.OFFLINE)
        check(found["id"] == cast.posts[texts.OFFLINE_TITLE], "the post under its identifier", found["id"])
        check(found["author_name"] == texts.BAKARY, "a post of Bakary", found["author_name"])
        check(found["state"] == "sent", "a post that is sent", found["state"])
        _the_one(posts, texts.AFTER_TITLE, texts.AFTER)
        cast.shows_posts(person, [found])


# --- Real files, and the end


def post_files(cast: Cast) -> None:
    """Post the files that were named: text that fits as a text too. Two others read and save them, byte for byte."""
    for number, file in enumerate(cast.files):
        body = texts.FILES_BODY if file.body is None else file.body
        post = ("post", "--board", texts.BOARD_NEWS, "--title", file.title, "--attach", str(file.path), "--wait")
        made = cast.amina(*post, "--body-file", "-", given=body)
        cast.ids[f"file {number}"] = _sent(made)
        reader = (cast.bakary, cast.leila)[number % 2]
        (found,) = [one for one in _posts(reader) if one["id"] == made["id"]] or [{"body": None, "attachments": []}]
        check(found["body"] == body, f"the text of {file.path.name} as it is", str(found["body"])[:200])
        target = reader.folder / f"file-{number}"
        reader("attachment", "save", made["id"], "--to", target.name)
        check(target.read_bytes() == file.data, f"the bytes of {file.path.name}")
        text = "as text and as a file" if file.body is not None else "as a file"
        cast.shows(reader, [file.title, f"  {size(len(file.data))}, {text}: identical"])


@step("All three who are left hold the same: members, keys, and every post")
def agreement(cast: Cast) -> None:
    """Leila has what was written since she came. The authenticator is equal only for members of one epoch."""
    before = cast.holdings()
    shown = together(*(person.start("circle", "show", "--offline") for person in _three(cast)))
    authenticators = {one["authenticator"] for one in shown}
    check(len(authenticators) == 1, "one authenticator", authenticators)
    check({one["members"] for one in shown} == {3}, "three members each", [one["members"] for one in shown])
    check({one["waiting"] for one in shown} == {0}, "nothing that waits", [one["waiting"] for one in shown])
    amina, bakary, leila = (_essence(posts) for posts in _all_read(*_three(cast)))
    check(amina == bakary, "Amina and Bakary to hold the same")
    check(not cast.holdings().since(before), "nothing sent twice")
    member = shown[2]["me"]
    check(member == cast.ids["Leila"], "the member that was approved as Leila", member)
    earlier = {cast.posts[texts.MEETING_TITLE], cast.posts[texts.MARKET_TITLE]}
    since = [post for post in amina if post[0] not in earlier]
    check(leila == since, "Leila to hold all since she came")
    cast.ids |= {f"post {place}": str(post[0]) for place, post in enumerate(amina)}
    for person, posts, one in zip(_three(cast), (amina, bakary, leila), shown, strict=True):
        cast.shows(person, [f"{len(posts)} posts, epoch {one['epoch']}, {one['authenticator'][:32]}..."])
