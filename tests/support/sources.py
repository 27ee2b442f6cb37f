"""What our own source files may hold: rules that neither ruff nor import-linter can say.

Each function takes the root of a source tree and returns one sentence for each fault, so that a test can show on a
planted tree that it finds one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

PACKAGES = ("protocol/tertulia_protocol", "server/tertulia_relay", "client/tertulia")

MODULE_LIMIT = 600
MODULE_REASON = 400
FUNCTION_LIMIT = 60

_MACHINE_MODULES = frozenset({"random", "secrets", "time"})
_MACHINE_CALLS = frozenset(
    {
        "asyncio.sleep",
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "os.urandom",
        "uuid.uuid1",
        "uuid.uuid4",
        "nacl.utils.random",
    }
)
_EXCUSE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[^\]]*\])?)")


def find_machine_use(root: Path, folder: str, *, allowed: Collection[str]) -> list[str]:
    """Find uses of the machine's clock, sleep or random generator outside the files in ``allowed``."""
    faults = []
    for path, tree in _modules(root, folder):
        used = {f"line {line}: {name}" for name, line in _names(tree) if _is_machine(name)}
        if path not in allowed:
            faults += [f"{path}: {use}" for use in sorted(used)]
    return faults


def find_primitive_use(root: Path, *, allowed: Mapping[str, str]) -> list[str]:
    """Find files that import ``cryptography`` or ``nacl`` without being listed, and listed files that do not."""
    users = {
        path
        for folder in PACKAGES
        for path, tree in _modules(root, folder)
        if any(name.split(".")[0] in {"cryptography", "nacl"} for name, _ in _imports(tree))
    }
    return [
        *(f"{path}: imports a cryptographic primitive and is not listed" for path in sorted(users - allowed.keys())),
        *(f"{path}: listed, but imports no primitive any more" for path in sorted(allowed.keys() - users)),
    ]


def find_reach(root: Path, folder: str) -> list[str]:
    """Find what reaches out of the process and no import contract can name: built-in functions, urllib.request."""
    faults = []
    for path, tree in _modules(root, folder):
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        faults += [f"{path}: line {node.lineno}: {ast.unparse(node.func)}" for node in calls if _reaches(node.func)]
        faults += [f"{path}: line {line}: {name}" for name, line in _imports(tree) if name.startswith("urllib.request")]
    return faults


def find_long_modules(root: Path, folders: Collection[str], *, reasons: Mapping[str, str]) -> list[str]:
    """Find modules over 600 lines, those over 400 without a reason, and reasons that are no longer needed."""
    lengths = {path: len(text.splitlines()) for folder in folders for path, text in _texts(root, folder)}
    return [
        *(f"{path}: {n} lines, over {MODULE_LIMIT}" for path, n in lengths.items() if n > MODULE_LIMIT),
        *(
            f"{path}: {n} lines, over {MODULE_REASON}, and no reason is listed"
            for path, n in lengths.items()
            if MODULE_REASON < n <= MODULE_LIMIT and not reasons.get(path)
        ),
        *(f"{path}: a reason is listed and not needed" for path in reasons if lengths.get(path, 0) <= MODULE_REASON),
    ]


def find_long_functions(root: Path, folders: Collection[str]) -> list[str]:
    """Find functions of 60 lines or more, their docstrings not counted."""
    return [
        f"{path}: {node.name} has {_length(node)} lines"
        for folder in folders
        for path, tree in _modules(root, folder)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _length(node) >= FUNCTION_LIMIT
    ]


def find_excuses_without_reason(root: Path, folders: Collection[str]) -> list[str]:
    """Find ``noqa`` and ``type: ignore`` comments that do not say why; equal ones on lines that follow need not."""
    faults = []
    for folder in folders:
        for path, text in _texts(root, folder):
            explained = ""
            for number, line in enumerate(text.splitlines(), 1):
                excuse = "".join(_EXCUSE.findall(line)).strip()
                if not excuse or re.search(r"[a-z]{2,}", _EXCUSE.sub("", line[line.index("#") :])):
                    explained = excuse
                elif excuse != explained:
                    faults.append(f"{path}: line {number}: an exception from the rules without its reason")
    return faults


def _texts(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((root / folder).rglob("*.py")):
        yield path.relative_to(root).as_posix(), path.read_text("utf-8")


def _modules(root: Path, folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path, text in _texts(root, folder):
        yield path, ast.parse(text, filename=path)


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the full name of everything imported, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every imported name, and every dotted name with its first part resolved through the imports."""
    yield from _imports(tree)
    known = _bound(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            if first in known:
                yield ".".join([known[first], *rest]), node.lineno


def _bound(tree: ast.Module) -> dict[str, str]:
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return known


def _is_machine(name: str) -> bool:
    return name.partition(".")[0] in _MACHINE_MODULES or name in _MACHINE_CALLS


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    has_docstring = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def _reaches(function: ast.expr) -> bool:
    return ast.unparse(function) in {"__import__", "breakpoint", "input", "open", "print"}
