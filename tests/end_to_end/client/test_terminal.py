"""What a person at a terminal is shown and asked."""

from __future__ import annotations

from itertools import pairwise

from tests.support.person import PASSPHRASE, Person


def test_init_offers_a_passphrase_shows_the_words_and_asks_for_two(tmp_path):
    person = Person(tmp_path, "Amina", passphrase="")
    with person.terminal("init", "--name", "Amina") as terminal:
        terminal.expect("just drawn:")
        offered = terminal.expect("Passphrase: ").split()
        assert len(offered) == 6
        terminal.type("too short")
        terminal.expect("The same again: ")
        terminal.type("too short")
        terminal.expect("[passphrase.weak]")
        terminal.expect("Passphrase: ")
        terminal.type(" ".join(offered))
        terminal.expect("The same again: ")
        terminal.type(" ".join(offered))
        terminal.expect("\x1b[?1049h")
        shown = terminal.expect("Press Enter")
        # In columns of eight: by their numbers they are in order.
        parts = shown.replace("\u2068", " ").replace("\u2069", " ").split()
        words = {int(number[:-1]): word for number, word in pairwise(parts) if number[:-1].isdigit()}
        assert sorted(words) == list(range(1, 25))
        terminal.type("")
        terminal.expect("\x1b[?1049l")
        for _ in range(2):
            terminal.expect("Word ")
            number = int(terminal.expect(": "))
            terminal.type(words[number])
        terminal.expect(str(person.profile))
        assert terminal.end() == 0
        assert " ".join(offered) not in terminal.shown.split("The same again")[1]
    opened = Person(tmp_path, "Amina", passphrase=" ".join(offered))
    assert opened.ask("status", "--offline")["name"] == "Amina"


def test_words_that_were_not_written_down_make_no_profile(tmp_path):
    person = Person(tmp_path, "Amina")
    with person.terminal("init", "--name", "Amina") as terminal:
        for _ in range(3):
            terminal.expect("Press Enter")
            terminal.type("")
            terminal.expect("Word ")
            terminal.expect(": ")
            terminal.type("wrong")
        assert terminal.end() == 130
    assert not person.profile.exists()


def test_a_passphrase_is_asked_for_and_not_shown(tmp_path):
    person = Person(tmp_path, "Amina").init()
    with person.terminal("status", "--offline", env={"TERTULIA_PASSPHRASE": ""}) as terminal:
        terminal.expect("Passphrase: ")
        terminal.type(PASSPHRASE)
        terminal.expect("Amina")
        assert terminal.end() == 0
        assert PASSPHRASE not in terminal.shown
