from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.in_process import InProcess as Person
from tests.support.relay_process import RelayProcess


@dataclass
class World:
    """A real relay, a coordinator and a member of one circle with one board and one topic."""

    relay: RelayProcess
    amina: Person
    badr: Person
    circle: str
    board: str
    topic: str
    joined: dict
    requests: list
    refused: object


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    with RelayProcess(tmp_path_factory.mktemp("relay") / "relay") as relay:
        yield relay


@pytest.fixture(scope="module")
def world(relay, tmp_path_factory):
    """Founded, invited, joined with the check of the words: the acts that others build on, done once."""
    home = tmp_path_factory.mktemp("people")
    amina, badr = Person(home, "Amina").init(), Person(home, "Badr").init()
    circle = amina.do("circle", "create", "Réseau", "--code-file", "-", text=relay.enrolment() + "\n")
    board = amina.do("board", "create", "Général")
    topic = amina.do("post", "Réseau", "--board", "général", "--title", "Bienvenue", "Écrivez ici.")
    link = amina.do("invite", "--days", "3")
    joined = badr.ask("join", env={"TERTULIA_LINK": link})
    requests = amina.ask("request", "list")["requests"]
    refused = amina.run("approve", joined["id"], "--words", "abandon ability able about", "--json")
    amina.do("approve", joined["id"], "--words", " ".join(joined["words"]), "--history", "all")
    badr.do("sync")
    return World(relay, amina, badr, circle, board, topic, joined, requests, refused)
