"""How a relay ends and begins again: stopped, killed, with a full disk, with a port that is taken."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import signal
import socket
import threading

import pytest

from tests.support.relay_process import RelayFailedError, RelayProcess
from tests.support.wire import Line, Segment, chain_after, entry_of, parse_enrolment


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A relay that each test here starts and ends, and a code that pays for everything."""
    relay = RelayProcess(tmp_path_factory.mktemp("endings") / "relay", settings="[quota]\nlog_mib = 1024\n")
    _, relay_pk, code = parse_enrolment(relay.enrolment(budget=10_000))
    yield relay, Segment(relay_pk), code
    if relay.running:
        relay.kill()


@pytest.fixture
def relay(home):
    process, _, _ = home
    if not process.running:
        process.start()
    return process


@pytest.fixture
def segment(home, relay):
    _, segment, code = home
    with Line(relay.card) as line:
        assert line.ask(segment.create(code), segment.id).status == "OK"
    return segment


class Burst:
    """Clients that append as fast as they can until the relay is gone."""

    def __init__(self, relay, segment, clients=4):
        self.relay, self.segment = relay, segment
        self.acknowledged = []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(worker,)) for worker in range(clients)]

    def _run(self, worker):
        with contextlib.suppress(OSError, http.client.HTTPException), Line(self.relay.card) as line:
            for number in range(100_000):
                entry = entry_of(f"{worker}/{number}")
                answer = line.ask(self.segment.append_entry(entry), self.segment.id)
                assert answer.status in ("OK", "BUSY")
                if answer.status == "OK":
                    self.acknowledged.append((answer.seq, entry, answer.head))
                if len(self.acknowledged) >= 200:
                    self.enough.set()

    def until_killed(self):
        """Run until enough is acknowledged, kill the relay in the middle, return what was acknowledged."""
        for thread in self.threads:
            thread.start()
        assert self.enough.wait(30)
        self.relay.kill()
        for thread in self.threads:
            thread.join(10)
        return self.acknowledged


def read_all(line, segment):
    """Return all entries of a segment and its head."""
    entries = []
    while True:
        page = line.ask(segment.read_after(len(entries)), segment.id)
        if not page.entries:
            return entries, page.head
        assert [seq for seq, _ in page.entries] == list(range(len(entries) + 1, len(entries) + len(page.entries) + 1))
        entries += [entry for _, entry in page.entries]


def test_what_was_acknowledged_survives_a_kill(relay, segment):
    card = relay.card
    acknowledged = Burst(relay, segment).until_killed()
    relay.start()
    assert relay.card == card
    with Line(relay.card) as line:
        stored, head = read_all(line, segment)
        assert line.ask(segment.append_entry(entry_of("after")), segment.id).seq == len(stored) + 1
    assert len(stored) >= len(acknowledged) >= 200
    assert head[:2] == (len(stored), chain_after(segment.id, stored))
    for seq, entry, _ in acknowledged:
        assert stored[seq - 1] == entry
    for seq, chain, _ in {promise for _, _, promise in acknowledged}:
        assert chain == chain_after(segment.id, stored[:seq])


def test_stopping_answers_waiting_readers_and_is_quick_and_clean(relay, segment):
    host, port = relay.listen.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(20)]
    silent[0].sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2048\r\n")
    with Line(relay.card) as line:
        stored, _ = read_all(line, segment)
    answers = []

    def wait():
        with Line(relay.card) as line:
            answers.append(line.ask(segment.read_after(len(stored), wait=50), segment.id).status)

    waiting = [threading.Thread(target=wait) for _ in range(20)]
    for thread in waiting:
        thread.start()
    waiting[0].join(0.5)  # nothing tells from outside that a reader waits
    assert all(thread.is_alive() for thread in waiting)
    log_before = relay.log.read_text()
    assert relay.stop() < 5
    for thread in waiting:
        thread.join(5)
    assert answers == ["OK"] * 20
    assert relay.log.read_text() == log_before
    assert not (relay.directory / "relay.listen").exists()
    for connection in silent:
        connection.close()


def test_an_interrupt_from_the_keyboard_stops_it_too(relay):
    relay.signal(signal.SIGINT)
    assert relay.wait() == 0


def test_a_port_in_use_is_a_clear_error(home):
    process, _, _ = home
    if process.running:
        process.stop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        refused = process.run("serve", str(process.directory), "--listen", listen, "--json", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    error = json.loads(refused.stderr)["error"]
    assert error["code"] == "relay.port_in_use"
    assert listen in error["message"]


def test_a_mistake_in_the_settings_is_named(home):
    process, _, _ = home
    if process.running:
        process.stop()
    settings = process.directory / "relay.toml"
    right = settings.read_text()
    settings.write_text(right + "conections = 5\n")
    try:
        with pytest.raises(RelayFailedError, match=r"exit code 2: (?s:.*)quota\.conections: unknown key"):
            process.start()
    finally:
        settings.write_text(right)


def fill(line, segment):
    """Append until the relay refuses; what was acknowledged must still be served."""
    stored, _ = read_all(line, segment)
    before = len(stored)
    for number in range(60):
        entry = entry_of(f"entry {len(stored)}/{number}", 262144)
        answer = line.ask(segment.append_entry(entry), segment.id)
        if answer.status != "OK":
            break
        stored.append(entry)
    assert (answer.status, answer.head) == ("UNAVAILABLE", None)
    assert len(stored) > before
    assert line.ask(segment.append_entry(entry_of("more", 262144)), segment.id).status == "UNAVAILABLE"
    assert read_all(line, segment)[0] == stored


def test_a_full_disk_refuses_writes_and_keeps_serving(tmp_path):
    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, 6 << 20))

    patient = "[quota]\nappend_burst_units = 100000\n"
    relay = RelayProcess(tmp_path / "relay", settings=patient + "[storage]\nmax_mib = 2\n")
    _, relay_pk, code = parse_enrolment(relay.enrolment())
    segment = Segment(relay_pk)
    # Twice: at the bound of the settings, and, with that gone, at one that the system sets, as a full volume does.
    with relay, Line(relay.card) as line:
        assert line.ask(segment.create(code), segment.id).status == "OK"
        fill(line, segment)
        assert relay.log.read_text().count("the database cannot be written") == 1
        assert relay.stop() < 5
    (relay.directory / "relay.toml").write_text(patient)
    relay.preexec = limit_files
    with relay, Line(relay.card) as line:
        fill(line, segment)
        assert relay.log.read_text().count("the database cannot be written") == 2
        assert relay.stop() < 5
