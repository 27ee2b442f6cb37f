"""What a person waits for before a command does anything: ``tertulia --help``, and ``tertulia status --offline``.

With the byte code of all modules written, as every run but the first finds it. ``status`` opens the profile: the cost
of Argon2id is there on purpose, so it stands beside it as a line of its own. The peer is the interpreter that starts
and imports click, without which no command line of this kind begins.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from bench.common import Line, Param, Samples, benchmark, measure
from bench.members import PASSPHRASE
from tertulia.store.keyfile import PRODUCTION, KeyFile

RUNS = 20
PROGRAM = Path(sys.executable).with_name("tertulia")
PEER = f"python -c 'import click' (click {click.__version__})"


def _samples(command: Sequence[str | Path], environment: dict[str, str]) -> Samples:
    def start() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    return measure(start, runs=RUNS, warm=3)


def _line(command: str, samples: Samples, peer: Samples) -> Line:
    return Line(
        params={"command": command, "against": PEER},
        value=samples.median_ms,
        unit="ms",
        samples=samples,
        ratio=samples.median_ms / peer.median_ms,
    )


@benchmark("cli.start")
def run() -> Iterator[Line]:
    """Yield the time from the start of the process to its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "TERTULIA_PASSPHRASE": PASSPHRASE,
            "TERTULIA_PROFILE": str(folder / "profile"),
        }
        peer = _samples([sys.executable, "-c", "import click"], environment)
        yield _line("--help", _samples([PROGRAM, "--help"], environment), peer)
        init: list[str | Path] = [PROGRAM, "init", "--name", "Amina", "--phrase-file", folder / "words"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, env=environment)
        yield _line("status --offline", _samples([PROGRAM, "status", "--offline"], environment), peer)
    yield _argon2()


def _argon2() -> Line:
    """Return how long the key file alone takes to open."""
    file = KeyFile.build(bytes(32), passphrase=PASSPHRASE, cost=PRODUCTION, rng=os.urandom)
    samples = measure(lambda: file.open(PASSPHRASE, floor=PRODUCTION), runs=5, warm=1)
    params: dict[str, Param] = {
        "command": "Argon2id alone",
        "memory_mib": PRODUCTION.memory_kib // 1024,
        "passes": PRODUCTION.passes,
    }
    return Line(params=params, value=samples.median_ms, unit="ms", samples=samples)
