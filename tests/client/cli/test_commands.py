"""Each command and its result, against a real relay; tests/end_to_end has the processes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat

import pytest

from tests.support.in_process import InProcess as Person

ID = re.compile(r"[cbpmri]_[a-z2-7]{16}")
MINUTE = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:00Z")


# --- The profile


def test_init_makes_a_private_profile_and_writes_the_words_for_the_owner_alone(world):
    amina = world.amina
    assert stat.S_IMODE(amina.profile.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in amina.profile.iterdir()} == {0o600}
    assert stat.S_IMODE(amina.phrase_file.stat().st_mode) == 0o600
    assert len(amina.phrase_file.read_text().split()) == 24
    assert amina.phrase_file.read_text() != world.badr.phrase_file.read_text()


def test_init_never_touches_a_profile_or_a_file_that_is_there(world, tmp_path):
    before = {path: path.read_bytes() for path in (world.amina.profile / "profile.json", world.amina.phrase_file)}
    again = world.amina.run("init", "--name", "X", "--phrase-file", tmp_path / "w", "--json")
    assert (again.code, again.error["code"]) == (2, "profile.exists")
    assert not (tmp_path / "w").exists()
    other = Person(tmp_path, "Other").run("init", "--name", "X", "--phrase-file", world.amina.phrase_file, "--json")
    assert (other.code, other.error["code"]) == (2, "file")
    assert not (tmp_path / "Other").exists()
    assert before == {path: path.read_bytes() for path in before}


def test_init_without_a_terminal_needs_a_file_for_the_words_and_a_passphrase(tmp_path):
    nobody = Person(tmp_path, "Nobody")
    ran = nobody.run("init", "--name", "X", "--json")
    assert (ran.code, ran.error["code"]) == (2, "phrase_file.missing")
    ran = nobody.run("init", "--name", "X", "--phrase-file", tmp_path / "w", "--json", env={"TERTULIA_PASSPHRASE": ""})
    assert (ran.code, ran.error["code"]) == (7, "passphrase.missing")
    ran = nobody.run("init", "--name", "X", "--phrase-file", tmp_path / "w", "--json", env={"TERTULIA_PASSPHRASE": "x"})
    assert (ran.code, ran.error["code"]) == (2, "passphrase.weak")
    assert list(tmp_path.iterdir()) == []


def test_init_that_fails_takes_the_words_back(tmp_path):
    (tmp_path / "file").write_text("")
    ran = Person(tmp_path / "file", "X").run("init", "--name", "X", "--phrase-file", tmp_path / "w", "--json")
    assert ran.code == 6
    assert not (tmp_path / "w").exists()


def test_status_shows_the_circles(world):
    status = world.amina.ask("status", "--offline")
    assert status["name"] == "Amina"
    assert status["directory"] == str(world.amina.profile)
    (circle,) = status["circles"]
    assert (circle["id"], circle["alias"], circle["state"], circle["members"]) == (world.circle, "Réseau", "active", 2)
    assert circle["coordinator"] is True
    assert world.badr.ask("status", "--offline")["circles"][0]["coordinator"] is False


def test_the_passphrase_comes_from_a_file_without_its_line_end(world, tmp_path):
    (tmp_path / "secret").write_text(world.amina.passphrase + "\n")
    amina = Person(world.amina.profile.parent, "Amina", passphrase="")
    assert amina.run("--passphrase-file", tmp_path / "secret", "status", "--offline").code == 0
    wrong = Person(world.amina.profile.parent, "Amina", passphrase="not the right one")  # noqa: S106 - of a test
    assert wrong.run("status", "--offline", "--passphrase-file", tmp_path / "secret").code == 0
    (tmp_path / "secret").write_text(world.amina.passphrase + "\n\n")
    ran = amina.run("status", "--offline", "--json", "--passphrase-file", tmp_path / "secret")
    assert (ran.code, ran.error["code"]) == (7, "passphrase.wrong")


# --- Circles, members


def test_what_creates_prints_the_id_alone(world):
    assert ID.fullmatch(world.circle)
    assert ID.fullmatch(world.board)
    assert ID.fullmatch(world.topic)


def test_circles_are_listed_shown_and_renamed_in_this_profile(world):
    assert world.badr.ask("circle", "list", "--offline")["circles"][0]["id"] == world.circle
    mine = world.amina.ask("circle", "show", "--offline")
    yours = world.badr.ask("--json", "circle", "show", world.circle[:8])
    assert mine["authenticator"] == yours["authenticator"]
    assert mine["epoch"] == yours["epoch"]
    assert mine["relays"] == [{"card": world.relay.card, "uri": world.relay.uri}]
    assert mine["me"] != yours["me"]
    assert MINUTE.fullmatch(mine["joined_at"])
    assert world.badr.do("circle", "alias", "RÉSEAU", "Mon réseau") == "Mon réseau"
    assert world.badr.ask("circle", "show", "mon réseau", "--offline")["name"] == "Réseau"
    assert world.badr.do("circle", "alias", "Réseau") == "Réseau"
    empty = world.badr.run("circle", "alias", "Réseau", "", "--json")
    assert (empty.code, empty.error["code"]) == (2, "content.not_accepted")


def test_members_are_the_same_for_everybody(world):
    mine, yours = world.amina.ask("members")["members"], world.badr.ask("members", "--offline")["members"]
    assert {one["id"] for one in mine} == {one["id"] for one in yours}
    assert [(one["name"], one["coordinator"], one["me"]) for one in mine] == [
        ("Amina", True, True),
        ("Badr", False, False),
    ]


# --- Joining


def test_a_join_waits_with_four_words_and_four_numbers(world):
    joined = world.joined
    assert joined["state"] == "waiting"
    assert joined["circle"] == world.circle
    assert len(joined["words"]) == 4
    assert all(re.fullmatch("[0-9]{4}", number) for number in joined["numbers"])
    (request,) = world.requests
    assert request["id"] == joined["id"]
    assert (request["name"], request["others"]) == ("Badr", 0)
    assert not set(joined["words"]) & set(json.dumps(request).replace('"', " ").split())


def test_words_that_differ_add_nobody(world):
    assert (world.refused.code, world.refused.error["code"]) == (3, "trust.words_differ")
    assert world.refused.error["kept"] == "Nothing was sent."


# --- Boards and posts


def test_history_is_shown_as_forwarded(world):
    (topic,) = [one for one in world.badr.ask("read", "--offline")["posts"] if one["id"] == world.topic]
    assert topic["forwarded_by"] == topic["author"]
    assert (topic["title"], topic["body"]) == ("Bienvenue", "Écrivez ici.")


def test_posts_in_three_scripts_arrive_as_they_were_written(world):
    arabic = "السلام عليكم\nسطر ثان"
    written = world.badr.ask(
        "post", "--board", world.board, "--title", "أهلا", "--body-file", "-", "--language", "ar", "--wait", text=arabic
    )
    assert written["state"] == "sent"
    answer = world.amina.do("reply", written["id"][:9], "Merci, Badr.", "--wait=30")
    (topic, reply) = world.badr.ask("read", "--topic", written["id"])["posts"]
    assert (topic["body"], topic["title"], topic["lang"], topic["type"]) == (arabic, "أهلا", "ar", "topic")
    assert (reply["id"], reply["topic"], reply["author_name"], reply["unread"]) == (answer, topic["id"], "Amina", True)
    assert MINUTE.fullmatch(reply["at"])
    text = world.badr.do("read", "--topic", "أهلا", "--offline")
    assert "سطر ثان" in text
    assert "Merci, Badr." in text


def test_read_marks_only_when_told_to(world):
    post = world.amina.do("post", "--board", "Général", "--title", "À lire", "--wait")
    badr = world.badr
    assert post in {one["id"] for one in badr.ask("read", "--unread")["posts"]}
    assert post in {one["id"] for one in badr.ask("read", "--unread", "--mark-read", "--offline")["posts"]}
    assert badr.ask("read", "--unread", "--offline")["posts"] == []
    newest = badr.ask("read", "--limit", "1", "--offline", "--board", world.board)["posts"]
    assert [one["id"] for one in newest] == [post]
    assert badr.ask("read", "--since", "2100-01-01", "--offline")["posts"] == []


def test_boards_show_topics_and_the_last_line(world):
    made = world.amina.ask("board", "create", "Annonces", "--announce-only", "--description", "Officiel", "--wait")
    assert made["state"] == "sent"
    found = {one["id"]: one for one in world.badr.ask("board", "list")["boards"]}
    assert found[made["id"]]["announce_only"] is True
    assert found[made["id"]]["description"] == "Officiel"
    assert found[world.board]["topics"] >= 1


def test_a_post_written_offline_leaves_with_the_next_sync_once(world):
    written = world.badr.ask("post", "--board", world.board, "--title", "Hors ligne", "--offline")
    assert written["state"] == "waiting"
    (circle,) = world.badr.ask("sync")["circles"]
    assert (circle["waiting"], circle["error"]) == (0, None)
    world.badr.do("sync")
    found = [one for one in world.amina.ask("read")["posts"] if one["title"] == "Hors ligne"]
    assert [(one["id"], one["state"]) for one in found] == [(written["id"], "sent")]


def test_files_are_saved_where_they_were_asked_for_and_nothing_is_overwritten(world, tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "rapport.pdf").write_bytes(content)
    post = world.badr.do(
        "post", "--board", world.board, "--title", "Rapport", "--attach", tmp_path / "rapport.pdf", "--wait"
    )
    (file,) = world.amina.ask("attachment", "list", post)["attachments"]
    assert (file["number"], file["name"], file["size"], file["type"]) == (1, "rapport.pdf", 300_000, "application/pdf")
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    target = tmp_path / "ici.bin"
    assert world.amina.do("attachment", "save", post, "1", "--to", target) == str(target)
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    target.write_bytes(b"mine")
    again = world.amina.run("attachment", "save", post, "--to", target, "--json")
    assert (again.code, again.error["code"]) == (2, "file.exists")
    assert target.read_bytes() == b"mine"
    world.amina.do("attachment", "save", world.circle, post, "1", "--to", target, "--force")
    assert target.read_bytes() == content
    none = world.amina.run("attachment", "save", post, "2", "--to", tmp_path / "x", "--json", "--offline")
    assert (none.code, none.error["code"]) == (2, "attachment.not_found")


# --- Names


def test_two_boards_of_one_name_are_never_chosen_between(world):
    first = world.amina.do("board", "create", "Double")
    second = world.amina.do("board", "create", "DOUBLE")
    before = world.amina.ask("status", "--offline")
    ran = world.amina.run("post", "--board", "double", "--title", "X", "--json", "--offline")
    assert (ran.code, ran.error["code"]) == (2, "ambiguous")
    assert first in ran.error["message"]
    assert second in ran.error["message"]
    assert world.amina.ask("status", "--offline") == before
    missing = world.amina.run("post", "--board", "nowhere", "--title", "X", "--json", "--offline")
    assert (missing.code, missing.error["code"]) == (2, "board.not_found")


@pytest.mark.parametrize(
    "order", [("circle", "show", "nowhere", "--json", "--offline"), ("--json", "circle", "show", "c_aaaa")]
)
def test_what_is_not_there_is_said_on_standard_error_alone(world, order):
    ran = world.amina.run(*order)
    assert (ran.code, ran.error["code"]) == (2, "circle.not_found")
    assert set(ran.error) >= {"code", "message", "kept", "next"}


# --- What is not done


def unchanged(person):
    """Return what must stay as it is."""
    return person.ask("status", "--offline"), person.ask("read", "--offline"), person.ask("board", "list", "--offline")


def test_an_answer_that_says_nothing_is_not_written(world):
    before = unchanged(world.badr)
    for body in ((), ("  \n",)):
        ran = world.badr.run("reply", world.topic, *body, "--json", "--offline")
        assert (ran.code, ran.error["code"]) == (2, "post.empty")
    assert unchanged(world.badr) == before


def test_two_circles_are_never_called_the_same(world):
    before = unchanged(world.amina)
    code = {"TERTULIA_CODE": world.relay.enrolment()}
    ran = world.amina.run("circle", "create", "RÉSEAU", "--json", env=code)
    assert (ran.code, ran.error["code"]) == (2, "circle.alias_taken")
    assert unchanged(world.amina) == before


def test_a_circle_must_be_named_where_there_are_several(world, tmp_path):
    dora = Person(tmp_path, "Dora").init()
    ran = dora.run("read", "--json")
    assert (ran.code, ran.error["code"]) == (2, "circle.none")
    for name in ("Un", "Deux"):
        dora.do("circle", "create", name, env={"TERTULIA_CODE": world.relay.enrolment()})
    ran = dora.run("read", "--json")
    assert (ran.code, ran.error["code"]) == (2, "circle.needed")
    assert "(Un)" in ran.error["message"]
    board = dora.do("board", "create", "un", "B")
    assert dora.ask("board", "list", "UN")["boards"][0]["id"] == board
    taken = dora.run("circle", "alias", "Deux", "un", "--json")
    assert (taken.code, taken.error["code"]) == (2, "circle.alias_taken")
    # Both may be founded within one second, so that neither is the older one.
    assert {one["alias"] for one in dora.ask("circle", "list")["circles"]} == {"Un", "Deux"}


def test_one_argument_less_means_the_only_circle_or_no_text(world):
    first = world.badr.do("reply", "Réseau", world.topic, "with the circle")
    second = world.badr.do("reply", world.topic, "without it")
    third = world.badr.do("reply", world.circle, world.topic, "--body-file", "-", text="from a file\n")
    bodies = {one["id"]: one["body"] for one in world.badr.ask("read", "--topic", world.topic, "--offline")["posts"]}
    assert [bodies[one].strip() for one in (first, second, third)] == ["with the circle", "without it", "from a file"]
    nobody = world.badr.run("reply", "x", "y", "z", "w", "--json")
    assert (nobody.code, nobody.error["code"]) == (2, "usage")


def test_what_is_written_holds_nothing_that_drives_a_terminal(world):
    post = world.badr.do("post", "--board", world.board, "--title", "T\x1b[2Jitre", "a\x1b[31mb\u202e", "--wait")
    (topic,) = [one for one in world.amina.ask("read")["posts"] if one["id"] == post]
    assert (topic["title"], topic["body"]) == ("T[2Jitre", "a[31mb")


def test_a_link_is_for_one_person_and_a_decline_sends_nothing(world, tmp_path):
    carla, eve = (Person(tmp_path, name).init() for name in ("Carla", "Eve"))
    invited = world.amina.ask("invite", "--days", "1")
    asked = [person.ask("join", "--link-file", "-", text=invited["link"]) for person in (carla, eve)]
    found = {one["id"]: one for one in world.amina.ask("requests")["requests"]}
    assert [found[one["id"]]["others"] for one in asked] == [1, 1]
    assert {one["invitation"] for one in found.values()} == {invited["id"]}
    assert world.amina.do("decline", asked[0]["id"]) == asked[0]["id"]
    gone = world.amina.run("approve", asked[0]["id"], "--words", " ".join(asked[0]["words"]), "--json")
    assert (gone.code, gone.error["code"]) == (2, "request.not_found")
    mute = world.amina.run("approve", asked[1]["id"], "--json")
    assert (mute.code, mute.error["code"]) == (2, "words.missing")
    member = world.amina.do("approve", "Eve", "--words", " ".join(asked[1]["numbers"]), "--history", "7")
    eve.do("sync")
    assert eve.ask("circle", "show")["me"] == member
    gil = Person(tmp_path, "Gil").init()
    used = gil.run("join", "--link-file", "-", "--json", text=invited["link"])
    assert (used.code, used.error["code"]) == (4, "link.used")
    assert gil.ask("status", "--offline")["joins"] == []


def test_a_join_can_be_waited_for_and_gives_up(world, tmp_path):
    fay = Person(tmp_path, "Fay").init()
    link = world.amina.do("invite")
    late = fay.run("join", "--wait=0.1", "--json", env={"TERTULIA_LINK": link})
    assert (late.code, late.error["code"]) == (5, "relay.not_in_time")
    (open_,) = fay.ask("status", "--offline")["joins"]
    assert open_["state"] == "waiting"
    world.amina.do("requests")
    world.amina.do("approve", open_["id"], "--words", " ".join(open_["words"]))
    done = fay.ask("join", "--wait=20", "--link-file", "-", text=link)
    assert done["state"] == "joined"


def test_who_was_removed_reads_what_there_is_and_may_nothing(world):
    badr = world.badr
    me, before = badr.ask("circle", "show")["me"], badr.ask("read", "--offline")
    unsure = world.amina.run("remove", "Badr", "--json")
    assert (unsure.code, unsure.error["code"]) == (2, "yes.missing")
    assert world.amina.do("remove", "Badr", "--yes") == me
    world.amina.do("post", "--board", world.board, "--title", "Entre nous", "--wait")
    assert badr.ask("sync")["circles"][0]["state"] == "removed"
    assert badr.ask("read", "--offline") == before
    shown = badr.ask("circle", "show", "--offline")
    assert (shown["state"], shown["me"]) == ("removed", me)
    assert not {"members", "epoch", "authenticator"} & shown.keys()
    for command in (
        ("members",),
        ("invite",),
        ("remove", "Amina", "--yes"),
        ("board", "create", "B"),
        ("post", "--board", world.board, "--title", "X"),
        ("reply", world.topic, "x"),
    ):
        ran = badr.run(*command, "--json", "--offline")
        assert (ran.code, ran.error["code"]) == (8, "circle.removed"), command
    assert badr.ask("read", "--offline") == before
