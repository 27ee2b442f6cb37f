"""``make fuzz``: coverage-guided fuzzing of every decoder, each in a process of its own.

SECONDS= bounds each target (10), ONLY= takes the beginning of a target's name, KEEP=1 adds what reached new code to
the committed corpus. A finding is printed with its bytes; put them into the corpus and `make test` replays them.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import find_targets, read_corpus, write_corpus

MAX_LENGTH = 4096
KEPT_LENGTH = 256
"""Longer inputs are not committed: what they reach, shorter ones reach too."""


def is_supported() -> bool:
    """Answer whether atheris has a wheel for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def fuzz_apart(name: str, *, seconds: int, keep: bool) -> bool:
    """Fuzz one target in a process of its own and answer whether nothing was found."""
    with tempfile.TemporaryDirectory(prefix="tertulia-fuzz-") as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        for number, data in enumerate(known := read_corpus(name)):
            (inputs / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-timeout=5", "-rss_limit_mb=2048"]
        command = [sys.executable, "-m", "tests.fuzz.child", name, *limits, f"-artifact_prefix={folder}/finding-"]
        done = subprocess.run([*command, str(inputs)], capture_output=True, text=True, check=False)
        reached = {path.read_bytes() for path in inputs.iterdir()}
        findings = [path.read_bytes().hex() for path in Path(folder).glob("finding-*")]
    _tell(name, done, findings)
    if keep and not done.returncode:
        write_corpus(name, {*known, *(data for data in reached if len(data) <= KEPT_LENGTH)})
    return not done.returncode


def _tell(name: str, done: subprocess.CompletedProcess[str], findings: list[str]) -> None:
    said = (done.stdout + done.stderr).splitlines()
    runs = next((line for line in reversed(said) if line.startswith("Done ")), "")
    _say(f"{'ok' if not done.returncode else 'FAIL'} {name} {runs}")
    if done.returncode:
        _say(*said[-40:])
        _say(*(f"input: {finding}" for finding in findings))


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def main() -> int:
    """Return 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if not is_supported():
        _say("Fuzzing needs Linux on x86_64: atheris has no wheel for this machine. Nothing was run.")
        return 0
    names = [name for name in find_targets() if name.startswith(options.only)]
    sound = [fuzz_apart(name, seconds=options.seconds, keep=options.keep) for name in names]
    _say(f"fuzz: {len(sound)} targets, {len(sound) - sum(sound)} with findings")
    return 0 if sound and all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
