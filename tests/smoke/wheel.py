"""Build the wheel twice, look into it, install it into a fresh environment and start both commands.

Run as ``python -m tests.smoke.wheel`` from the root of the project; prints one line per step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.sources import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
DIST_INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


class SmokeError(Exception):
    """The wheel is not what it should be."""


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what was done and how long it took."""
    started = time.monotonic()
    yield
    sys.stdout.write(f"ok {what} ({time.monotonic() - started:.1f} s)\n")
    sys.stdout.flush()


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from our sources and return its output. :raises SmokeError: it fails or complains."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    env |= {"LC_ALL": "C.UTF-8", "LANGUAGE": "en"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SmokeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(source: Path, target: Path) -> Path:
    """Build the wheel of ``source`` into ``target``, with the build system that the lock has installed."""
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir")
    run(*PIP, "wheel", *options, target, source, cwd=target.parent)
    (wheel,) = target.glob("*.whl")
    return wheel


def copy_sources(target: Path) -> Path:
    """Copy what a wheel is made of to another path, with other times."""
    target.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copyfile(ROOT / name, target / name)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, copy_function=shutil.copyfile)
    return target


def expected_names(version: str) -> set[str]:
    """Return the names that belong into the wheel: every file of the three packages and what metadata needs."""
    names = {f"tertulia-{version}.dist-info/{name}" for name in DIST_INFO}
    for package in PACKAGES:
        folder = ROOT / package
        files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        names |= {path.relative_to(folder.parent).as_posix() for path in files}
    return names


def check_contents(names: set[str], expected: set[str]) -> None:
    """:raises SmokeError: something is missing or too much."""
    if names != expected:
        raise SmokeError(f"missing: {sorted(expected - names)}; too much: {sorted(names - expected)}")
    untyped = [package for package in PACKAGES if f"{Path(package).name}/py.typed" not in names]
    if untyped:
        raise SmokeError(f"no py.typed: {untyped}")


def check_same(first: Path, second: Path) -> str:
    """Return the SHA-256 of two equal files. :raises SmokeError: they differ."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)]
    if digests[0] != digests[1] or first.name != second.name:
        raise SmokeError(f"two builds differ: {first.name} {digests[0]}, {second.name} {digests[1]}")
    return digests[0]


def check_help(output: str) -> None:
    """:raises SmokeError: this is no list of commands."""
    if "Usage: tertulia" not in output or "Commands:" not in output:
        raise SmokeError(f"no help: {output!r}")


def install(python: Path, *arguments: str | Path, cwd: Path) -> None:
    """Install into the environment of ``python``, which needs no pip of its own."""
    run(*PIP, "--python", python, "install", "--quiet", "--no-compile", *arguments, cwd=cwd)


def smoke(folder: Path) -> None:
    """Do everything, in ``folder``."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    with step("the wheel builds, twice the same byte for byte"):
        wheel = build(ROOT, folder / "first")
        digest = check_same(wheel, build(copy_sources(folder / "copy"), folder / "second"))
    with step(f"it holds the three packages and nothing else: {wheel.name}, {wheel.stat().st_size} bytes, {digest}"):
        check_contents(set(zipfile.ZipFile(wheel).namelist()), expected_names(version))
    locked = ("--require-hashes", "--only-binary=:all:", "-r")
    commands = folder / "venv" / "bin"
    with step("a member's installation starts: tertulia"):
        run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
        install(commands / "python", *locked, ROOT / "requirements/runtime.txt", cwd=folder)
        install(commands / "python", "--no-index", "--no-deps", wheel, cwd=folder)
        run(commands / "tertulia", "--help", cwd=folder)  # from its first command on: check_help, as below
    with step("an operator's installation starts: tertulia-relay"):
        install(commands / "python", *locked, ROOT / "requirements/relay.txt", cwd=folder)
        check_help(run(commands / "tertulia-relay", "--help", cwd=folder))
        run(*PIP, "--python", commands / "python", "check", cwd=folder)


def main() -> int:
    """Run in a temporary folder and return the exit status."""
    with tempfile.TemporaryDirectory(prefix="tertulia-smoke-") as name:
        try:
            smoke(Path(name))
        except SmokeError as error:
            sys.stdout.write(f"FAIL {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
