"""A real relay in a real process on loopback, started by the command that operators use.

Synchronous on purpose: usable from tests of both kinds and from the demonstration. Nothing of ours is imported::

    with RelayProcess(directory) as relay:
        relay.card, relay.uri, relay.enrolment(budget=500)
        relay.kill()       # as a power cut would
        relay.restart()    # the same directory, the same port
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self, cast

COMMAND = (sys.executable, "-c", "from tertulia_relay.cli import main; main()")
"""The installed script would do the same; this one needs no PATH."""

START_SECONDS = 30.0
STOP_SECONDS = 10.0


class RelayFailedError(AssertionError):
    """The relay did not do as it was told; the message holds what it wrote."""


class RelayProcess:
    """A relay that lives in ``directory`` (made by ``init`` unless it is there) and serves inside ``with``."""

    def __init__(
        self,
        directory: Path | str,
        *,
        listen: str = "127.0.0.1:0",
        settings: str = "",
        command: Sequence[str] = COMMAND,
        preexec: Callable[[], None] | None = None,
    ) -> None:
        """:param settings: TOML tables added to relay.toml. :param preexec: run in the child, for system limits."""
        self.directory = Path(directory)
        self.log = self.directory.parent / f"{self.directory.name}.log"
        """All that the process ever wrote to standard error."""
        self.output = ""
        """All that it wrote to standard output so far."""
        self._listen = listen
        self._command = tuple(command)
        self.preexec = preexec
        self._process: subprocess.Popen[bytes]
        self.ready: dict[str, str] = {}
        if not self.directory.exists():
            self.run("init", str(self.directory))
            with (self.directory / "relay.toml").open("a") as file:
                file.write("\n" + settings)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.running:
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return hasattr(self, "_process") and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def listen(self) -> str:
        """``HOST:PORT``."""
        return self.ready["listen"]

    @property
    def card(self) -> str:
        """``URL#key``."""
        return self.ready["relay"]

    @property
    def uri(self) -> str:
        return self.card.partition("#")[0]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another command of the relay to its end."""
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode:
            raise RelayFailedError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return done

    def enrolment(self, budget: int = 500, days: int = 30) -> str:
        """Return a new enrolment string."""
        return self.run("code", str(self.directory), f"--budget={budget}", f"--days={days}").stdout.strip()

    def start(self) -> Self:
        """Start and wait for the ready line."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "serve", str(self.directory), "--listen", self._listen],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=self.preexec,  # noqa: PLW1509 - no threads between fork and exec in our tests
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        line = self._first_line()
        try:
            self.ready = json.loads(line)
        except ValueError:
            self._process.kill()
            code = self._process.wait()
            self._pipe().close()
            raise RelayFailedError(f"no ready line, exit code {code}: {self.log.read_text()}") from None
        self.output += line
        # The same address after a restart: cards that are out stay good.
        self._listen = self.ready["listen"]
        return self

    def _pipe(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdout)

    def _first_line(self) -> str:
        # Bytes, not lines: a reader that buffers would hide from the selector what it already has.
        descriptor, data, deadline = self._pipe().fileno(), b"", time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in data and selector.select(max(0.0, deadline - time.monotonic())):
                more = os.read(descriptor, 4096)
                if not more:
                    break
                data += more
        return data.decode()

    def stop(self) -> float:
        """End it as an operator does (SIGTERM); return how long it took in seconds. It must exit with 0."""
        start = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.wait()
        if code != 0:
            raise RelayFailedError(f"exit code {code}: {self.log.read_text()}")
        return time.monotonic() - start

    def kill(self) -> None:
        """End it as a power cut does (SIGKILL)."""
        self._process.kill()
        self.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        try:
            rest, _ = self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise RelayFailedError(f"still there after {STOP_SECONDS} s: {self.log.read_text()}") from None
        self.output += rest.decode()
        return self._process.returncode

    def restart(self) -> Self:
        """Stop it if it runs, and start it again on the same address."""
        if self.running:
            self.stop()
        return self.start()
