"""The relay as operators start it and clients meet it: processes and sockets, nothing of ours imported."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.relay_process import RelayFailedError, RelayProcess
from tests.support.wire import Line, Segment, chain_after, entry_of, parse_card, parse_enrolment


@pytest.fixture
def relay(tmp_path):
    with RelayProcess(tmp_path / "relay") as process:
        yield process


@pytest.fixture
def line(relay):
    with Line(relay.card) as line:
        yield line


def new_segment(relay, line, budget=500):
    uri, relay_pk, code = parse_enrolment(relay.enrolment(budget))
    assert (uri, relay_pk) == parse_card(relay.card)
    segment = Segment(relay_pk)
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
    relay.stop()
    assert relay.output == json.dumps(relay.ready) + "\n"


def test_create_append_read_seal(relay, line):
    segment = new_segment(relay, line)
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


def test_a_waiting_reader_wakes_when_the_segment_grows(relay, line):
    segment = new_segment(relay, line)
    with Line(relay.card) as reader, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.ask, segment.read_after(0, wait=50), segment.id)
        while not waiting.running():
            time.sleep(0.01)
        time.sleep(0.2)  # the request has to be on its way; were it not, the reader would still find the entry
        start = time.monotonic()
        line.ask(segment.append_entry(entry_of("news")), segment.id)
        answer = waiting.result(timeout=10)
    assert time.monotonic() - start < 5
    assert answer.entries == [(1, entry_of("news"))]


def test_every_answer_has_status_200_and_one_of_the_sizes(relay, line):
    for frame in (b"", b"\0" * 2048, os.urandom(2048), os.urandom(5120), b"\1" * 100):
        status, header, body = line.exchange(frame)
        assert (status, len(body), body[:2]) == (200, 2048, b"\x01\x0b")
        assert set(header) == {"Content-Type", "Content-Length"}


def test_a_code_made_while_serving_pays_once_its_budget(relay, line):
    _, relay_pk, code = parse_enrolment(relay.enrolment(budget=64))
    first, second = Segment(relay_pk), Segment(relay_pk)
    assert line.ask(first.create(code), first.id).status == "OK"
    assert line.ask(first.create(code), first.id).status == "OK"
    assert line.ask(second.create(code), second.id).status == "PAY"


def test_stopping_with_waiting_readers_is_quick_and_clean(relay, line):
    segment = new_segment(relay, line)
    lines = [Line(relay.card) for _ in range(20)]
    with ThreadPoolExecutor(len(lines)) as pool:
        waiting = [pool.submit(reader.ask, segment.read_after(0, wait=50), segment.id) for reader in lines]
        time.sleep(0.5)  # nothing tells from outside that a reader waits
        assert not any(future.done() for future in waiting)
        assert relay.stop() < 5
        for future in waiting:
            assert future.result(timeout=5).status in ("OK", "UNAVAILABLE")
    for reader in lines:
        reader.__exit__()
    assert relay.log.read_text() == ""


def test_stopping_with_connections_that_say_nothing_is_quick(relay):
    host, port = relay.listen.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(30)]
    silent[0].sendall(
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2048\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    assert relay.stop() < 5
    for connection in silent:
        connection.close()


def test_an_interrupt_from_the_keyboard_stops_it_too(relay):
    relay._process.send_signal(signal.SIGINT)
    assert relay._wait() == 0


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    with RelayProcess(tmp_path / "relay") as relay:
        with Line(relay.card) as line:
            segment = new_segment(relay, line)
        acknowledged, killed = [], threading.Event()

        def burst(worker):
            try:
                with Line(relay.card) as line:
                    for number in range(10_000):
                        entry = entry_of(f"{worker}/{number}")
                        answer = line.ask(segment.append_entry(entry), segment.id)
                        if answer.status == "OK":
                            acknowledged.append((answer.seq, entry, answer.head))
                        elif killed.is_set():
                            return
            except (OSError, http.client.HTTPException):
                return

        workers = [threading.Thread(target=burst, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        while len(acknowledged) < 100:
            time.sleep(0.005)
        relay.kill()
        killed.set()
        for worker in workers:
            worker.join()
        relay.start()
        stored, after = [], 0
        with Line(relay.card) as line:
            while True:
                page = line.ask(segment.read_after(after), segment.id)
                if not page.entries:
                    break
                stored += [entry for _, entry in page.entries]
                after = page.entries[-1][0]
        assert len(stored) >= len(acknowledged) >= 100
        for seq, entry, _ in acknowledged:
            assert stored[seq - 1] == entry
        for seq, chain, _ in {head for _, _, head in acknowledged}:
            assert chain_after(segment.id, stored[:seq]) == chain
        assert page.head[:2] == (len(stored), chain_after(segment.id, stored))


def test_a_second_process_on_the_same_directory_is_refused(relay):
    second = relay.run("serve", str(relay.directory), "--listen", "127.0.0.1:0", "--json", check=False)
    assert second.returncode == 6
    assert json.loads(second.stderr)["error"]["code"] == "relay.running"
    assert second.stdout == ""
    assert relay.running


def test_a_port_in_use_is_a_clear_error(relay, tmp_path):
    relay.run("init", str(tmp_path / "other"))
    second = relay.run("serve", str(tmp_path / "other"), "--listen", relay.listen, "--json", check=False)
    assert second.returncode == 2
    assert json.loads(second.stderr)["error"]["code"] == "relay.port_in_use"
    assert second.stdout == ""


def test_a_restart_keeps_address_card_and_content(relay):
    with Line(relay.card) as line:
        segment = new_segment(relay, line)
        line.ask(segment.append_entry(entry_of("kept")), segment.id)
    card = relay.card
    relay.restart()
    assert relay.card == card
    with Line(relay.card) as line:
        assert line.ask(segment.read_after(0), segment.id).entries == [(1, entry_of("kept"))]


def test_a_relay_that_cannot_start_says_why_and_prints_nothing(tmp_path):
    process = RelayProcess(tmp_path / "relay", settings="[http]\nconections = 5\n")
    with pytest.raises(RelayFailedError, match=r"exit code 2: (?s:.*)http\.conections: unknown key"):
        process.start()


@pytest.mark.parametrize("how", ["quota", "file-size"])
def test_a_full_disk_refuses_writes_and_keeps_serving(tmp_path, how):
    settings = "[storage]\nmax_mib = 2\n" if how == "quota" else ""

    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    preexec = limit_files if how == "file-size" else None
    with RelayProcess(tmp_path / "relay", settings=settings, preexec=preexec) as relay, Line(relay.card) as line:
        segment = new_segment(relay, line)
        stored = []
        for number in range(40):
            entry = entry_of(f"entry {number}", 262144)
            answer = line.ask(segment.append_entry(entry), segment.id)
            if answer.status != "OK":
                break
            stored.append(entry)
        assert answer.status == "UNAVAILABLE"
        assert answer.head is None
        assert stored
        assert line.ask(segment.append_entry(entry_of("more", 262144)), segment.id).status == "UNAVAILABLE"
        read = line.ask(segment.read_after(len(stored) - 1), segment.id)
        assert read.entries == [(len(stored), stored[-1])]
        assert relay.log.read_text().count("the database cannot be written") == 1
        assert relay.stop() < 5


def test_every_file_is_private(relay, line):
    new_segment(relay, line)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in relay.directory.iterdir()}
    assert {"relay.db", "relay.db-wal", "relay.key", "relay.listen", "relay.lock", "relay.toml"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_no_core_files(relay):
    with open(f"/proc/{relay.pid}/limits") as file:  # noqa: PTH123 - a file of the kernel
        (core,) = [text for text in file if text.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
