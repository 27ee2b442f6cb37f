"""docs/reference/api.md says exactly what is public."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import tertulia
from tertulia import errors, results
from tertulia.client import Client
from tertulia_protocol.errors import TertuliaError

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/api.md").read_text("utf-8")


def section(title):
    """Return the rows of the table under a heading: the cells of each."""
    text = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert rows
    return rows


def shape(method):
    """Return the names of a method's arguments as the page writes them."""
    parameters = inspect.signature(inspect.unwrap(getattr(method, "__func__", method))).parameters.values()
    return [one.name for one in parameters if one.name not in {"self", "cls"}]


def test_what_the_package_exports():
    assert tertulia.__all__ == ["Client", "errors", "results"]
    assert (tertulia.Client, tertulia.errors, tertulia.results) == (Client, errors, results)
    assert not hasattr(tertulia, "nothing")


def test_every_method_is_on_the_page_with_its_arguments():
    public = {name: shape(method) for name, method in vars(Client).items() if not name.startswith("_")}
    shown = {}
    for signature, *_ in section("Client"):
        name, inner = re.fullmatch(r"`(\w+)\((.*)\)`", signature).groups()
        parts = [part.split("=")[0].strip() for part in re.sub(r"\([^)]*\)", "", inner).split(",")]
        shown[name] = [part for part in parts if part not in {"", "*"}]
    assert shown == public


def test_every_result_is_on_the_page_with_its_fields():
    public = {
        name: [field.name for field in dataclasses.fields(one)]
        for name, one in vars(results).items()
        if inspect.isclass(one) and issubclass(one, results.Result) and one is not results.Result
    }
    assert {cells[0].strip("`"): re.findall(r"`(\w+)`", cells[1]) for cells in section("Results")} == public


def test_results_are_frozen():
    for one in vars(results).values():
        if dataclasses.is_dataclass(one):
            assert one.__dataclass_params__.frozen
            assert "__slots__" in vars(one)


def all_errors(kind=TertuliaError):
    for one in kind.__subclasses__():
        if one.__module__ in {"tertulia.errors", "tertulia_protocol.errors"}:
            yield one
            yield from all_errors(one)


def test_every_error_is_on_the_page_with_its_code():
    shown = {cells[0].strip("`"): (cells[1].strip("`"), int(cells[2])) for cells in section("Errors")}
    codes = errors.EXIT_CODES
    exits = {one: next(codes[up] for up in one.__mro__ if up in codes) for one in all_errors()}
    assert shown == {one.__name__: (one.code, exits[one]) for one in all_errors()}


def test_codes_are_not_used_twice():
    codes = [one.code for one in set(all_errors())]
    assert len(codes) == len(set(codes))
