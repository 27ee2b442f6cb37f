"""Each command in processes of its own against a real relay; tests/client/cli looks closer, in one process."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess

from tests.support.person import COMMAND, Person

SECONDS = 20


def test_what_members_see_after_the_first_acts(world):
    mine, yours = world.amina.ask("circle", "show"), world.badr.ask("circle", "show", world.circle)
    assert mine["authenticator"] == yours["authenticator"]
    assert mine["relays"] == [{"card": world.relay.card, "uri": world.relay.uri}]
    (topic,) = world.badr.ask("read", "--offline")["posts"]
    assert (topic["id"], topic["title"], topic["body"]) == (world.topic, "Bienvenue", "Écrivez ici.")
    assert (world.refused.code, world.refused.error["code"]) == (3, "trust.words_differ")
    assert stat.S_IMODE(world.amina.phrase_file.stat().st_mode) == 0o600


def test_files_and_answers_go_both_ways(world, tmp_path):
    content = os.urandom(70_000)
    (tmp_path / "a file").write_bytes(content)
    answer = world.badr.do("reply", world.topic, "--attach", tmp_path / "a file", "--body-file", "-", text="Voilà.")
    world.badr.do("sync")
    assert "Voilà." in world.amina.do("read", "--unread", "--mark-read")
    assert world.amina.ask("attachment", "list", answer, "--offline")["attachments"][0]["size"] == 70_000
    world.amina.do("attachment", "save", answer, "--to", tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == content


def test_lists_and_names(world):
    assert [one["id"] for one in world.badr.ask("board", "list", "--offline")["boards"]] == [world.board]
    assert len(world.badr.ask("members", "--offline")["members"]) == 2
    assert world.badr.do("circle", "alias", "Mon réseau", "--quiet") == "Mon réseau"
    assert world.badr.ask("circle", "list", "--offline")["circles"][0]["alias"] == "Mon réseau"
    assert world.badr.ask("status", "--offline")["circles"][0]["alias"] == "Mon réseau"


def test_follow_tells_what_happens_and_stops_when_told(world):
    with world.amina.background("sync", "--follow") as follower:
        seen = world.badr.do("post", "--board", world.board, "--title", "En direct", "--wait")
        events = []
        for line in follower.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "post" and events[-1]["data"].get("post") == seen:
                break
        assert events[-1]["circle"] == world.circle
        busy = world.amina.run("status", "--offline", "--json")
        assert (busy.code, busy.error["code"]) == (6, "store.locked")
        follower.send_signal(signal.SIGTERM)
        assert follower.wait(SECONDS) == 130
        assert follower.stderr.read() == ""
    tokens = [one["token"] for one in events]
    assert tokens == sorted(set(tokens))
    with world.amina.background("sync", "--follow", "--after", str(tokens[-1] - 1)) as again:
        assert json.loads(again.stdout.readline()) == events[-1]
        again.send_signal(signal.SIGINT)
        assert again.wait(SECONDS) == 130


def test_a_secret_in_an_argument_is_refused_and_not_repeated(world):
    for argument in ("tertulia:AQAWaHR0", "--name=tertulia:AQAWaHR0", "TERTULIA-RELAY:AQAW"):
        ran = world.badr.run("join", argument, "--json")
        assert (ran.code, ran.error["code"]) == (2, "argument.secret")
        assert "AQAW" not in ran.err


def test_a_reader_that_stops_early_is_no_fault(world):
    shell = subprocess.run(
        ["/bin/sh", "-c", '"$@" | head -c 1 > /dev/null; exit 0', "sh", *COMMAND, "help", "exit-codes"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=world.amina.environment(),
    )
    assert shell.stderr == ""


def test_help_names_every_command_without_a_profile(tmp_path, world):
    shown = world.amina.run("--help", env={"TERTULIA_PROFILE": str(tmp_path / "none")}).out
    for name in ("init", "status", "sync", "circle", "board", "invite", "join", "request", "approve", "decline"):
        assert f"\n  {name} " in shown
    for name in ("members", "remove", "post", "reply", "read", "attachment", "help"):
        assert f"\n  {name} " in shown
    assert not (tmp_path / "none").exists()


def test_what_only_coordinators_may_do_is_8(world):
    for command in (("invite",), ("remove", "Amina", "--yes")):
        ran = world.badr.run(*command, "--json", "--offline")
        assert (ran.code, ran.error["code"]) == (8, "circle.not_allowed"), ran


def test_who_joins_sees_first_what_the_link_says(world, tmp_path):
    dora = Person(tmp_path, "Dora").init()
    link = world.amina.do("invite")
    with dora.terminal("join") as terminal:
        terminal.expect("Invitation link: ")
        terminal.type(link)
        facts = terminal.expect("Ask to join this circle?")
        assert world.circle in facts
        assert world.amina.ask("circle", "show", "--offline")["me"] in facts
        assert world.relay.uri in facts
        terminal.type("n")
        assert terminal.end() == 130
        assert link not in terminal.shown
    assert dora.ask("status", "--offline")["joins"] == []
    assert world.amina.ask("requests")["requests"] == []


# --- The end of it: a decline, a removal


def test_who_is_declined_or_removed_gets_nothing(world, tmp_path_factory):
    carla = Person(tmp_path_factory.mktemp("carla"), "Carla").init()
    link = world.amina.do("invite", "--qr")
    asked = carla.ask("join", "--link-file", "-", text=link)
    assert world.amina.do("decline", asked["id"]) == asked["id"]
    assert world.amina.ask("requests", "--offline")["requests"] == []
    member = world.badr.ask("circle", "show", "--offline")["me"]
    unsure = world.amina.run("remove", "Badr", "--json", "--offline")
    assert (unsure.code, unsure.error["code"]) == (2, "yes.missing")
    assert world.amina.do("remove", "Badr", "--yes") == member
    world.amina.do("post", "--board", world.board, "--title", "Entre nous")
    ran = world.badr.run("read", "--json")
    assert ran.code == 0
    assert "Entre nous" not in ran.out
    assert json.loads(ran.err.splitlines()[0])["warning"]["code"] == "circle.removed"
    refused = world.badr.run("post", "--board", world.board, "--title", "X", "--json")
    assert (refused.code, refused.error["code"]) == (8, "circle.removed")
