"""The relay as operators start it and clients meet it: processes and sockets, nothing of ours imported."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from tests.support.relay_process import RelayProcess
from tests.support.wire import Line, Segment, chain_after, entry_of, parse_card, parse_enrolment


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """One relay for all tests that leave it alive."""
    with RelayProcess(tmp_path_factory.mktemp("serving") / "relay") as process:
        yield process


@pytest.fixture(scope="module")
def code(relay):
    """A code that pays for everything here; made while the relay serves."""
    uri, relay_pk, code = parse_enrolment(relay.enrolment(budget=10_000))
    assert (uri, relay_pk) == parse_card(relay.card)
    return code


@pytest.fixture
def line(relay):
    with Line(relay.card) as line:
        yield line


@pytest.fixture
def segment(line, code):
    segment = Segment(line.relay_pk)
    created = line.ask(segment.create(code), segment.id)
    assert created.status == "OK"
    assert created.head == (0, chain_after(segment.id, []), 0)
    return segment


def test_the_first_line_says_where_it_is(relay):
    assert set(relay.ready) == {"ready", "listen", "relay"}
    assert relay.ready["ready"] is True
    host, port = relay.listen.split(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert relay.uri == f"http://{relay.listen}"
    assert relay.output == json.dumps(relay.ready) + "\n"


def test_create_append_read_seal(line, segment):
    entries = [entry_of(f"entry {number}", size) for number, size in enumerate((1024, 4096, 262144))]
    for number, entry in enumerate(entries, 1):
        answer = line.ask(segment.append_entry(entry), segment.id)
        assert (answer.status, answer.seq) == ("OK", number)
        assert answer.head == (number, chain_after(segment.id, entries[:number]), 0)
    assert line.ask(segment.append_entry(entries[0]), segment.id).status == "DUP"
    read = line.ask(segment.read_after(0), segment.id)
    assert read.entries == list(enumerate(entries, 1))
    sealed = line.ask(segment.seal(entry_of("the last"), read.head), segment.id)
    assert (sealed.status, sealed.seq, sealed.head[2]) == ("OK", 4, 1)
    assert line.ask(segment.append_entry(entry_of("too late")), segment.id).status == "SEALED"


def test_a_waiting_reader_wakes_when_the_segment_grows(relay, line, segment):
    answers = []
    with Line(relay.card) as reader:
        waiting = threading.Thread(
            target=lambda: answers.append(reader.ask(segment.read_after(0, wait=50), segment.id))
        )
        waiting.start()
        waiting.join(0.3)  # a reader that does not wait has its empty answer by now
        assert waiting.is_alive()
        line.ask(segment.append_entry(entry_of("news")), segment.id)
        waiting.join(10)
        assert not waiting.is_alive()
    assert answers[0].entries == [(1, entry_of("news"))]


def test_every_answer_has_status_200_and_one_of_the_sizes(line):
    for frame in (b"", b"\0" * 2048, os.urandom(2048), os.urandom(5120), b"\1" * 100):
        status, header, body = line.exchange(frame)
        assert (status, len(body), body[:2]) == (200, 2048, b"\x01\x0b")
        assert set(header) == {"Content-Type", "Content-Length"}


def test_a_code_pays_its_budget_and_no_more(relay, line):
    _, relay_pk, code = parse_enrolment(relay.enrolment(budget=64))
    first, second = Segment(relay_pk), Segment(relay_pk)
    assert line.ask(first.create(code), first.id).status == "OK"
    assert line.ask(first.create(code), first.id).status == "OK"
    assert line.ask(second.create(code), second.id).status == "PAY"


def test_a_second_process_on_the_same_directory_is_refused(relay):
    second = relay.run("serve", str(relay.directory), "--listen", "127.0.0.1:0", "--json", check=False)
    assert second.returncode == 6
    assert json.loads(second.stderr)["error"]["code"] == "relay.running"
    assert second.stdout == ""
    assert relay.running


def test_check_finds_nothing_wrong_with_a_relay_that_serves(relay, segment):
    assert segment
    report = json.loads(relay.run("check", str(relay.directory), "--json").stdout)
    assert (report["ok"], report["relay"]) == (True, relay.card)


def test_every_file_is_private(relay, segment):
    assert segment
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in relay.directory.iterdir()}
    assert {"relay.db", "relay.db-wal", "relay.key", "relay.listen", "relay.lock", "relay.toml"} <= set(modes)
    assert set(modes.values()) == {0o600}


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="the system does not show limits of processes")
def test_no_core_files(relay):
    lines = Path(f"/proc/{relay.pid}/limits").read_text().splitlines()
    (core,) = [line for line in lines if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
