"""A person whose commands run in the tests' own process: same arguments, same streams, a cheap Argon2id."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from tertulia.cli.main import run
from tertulia.store.keyfile import Argon2Cost
from tests.support.person import Person, Ran

CHEAP = Argon2Cost(memory_kib=1024, passes=1)


class InProcess(Person):
    """A person at a machine without a terminal."""

    def run(self, *arguments: object, text: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Run the command to its end."""
        environment = {name: value for name, value in self.environment(env).items() if value}
        out, err = io.StringIO(), io.StringIO()
        with _machine(environment, text), redirect_stdout(out), redirect_stderr(err):
            code = run([str(argument) for argument in arguments], cost=CHEAP)
        return Ran(code=code, out=out.getvalue(), err=err.getvalue())


@contextmanager
def _machine(environment: Mapping[str, str], text: str) -> Iterator[None]:
    """Give the process another environment and another standard input, and give back what it had."""
    kept, kept_input, kept_mask = dict(os.environ), sys.stdin, os.umask(0o022)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    try:
        yield
    finally:
        sys.stdin = kept_input
        os.environ.clear()
        os.environ.update(kept)
        os.umask(kept_mask)
