"""Switch one check off inside this process, for every module that has already imported it.

A function's code is replaced, not its name: whoever holds the function, by ``from x import y``, in a table or bound
to an instance, then runs the stub. There is no way back; ``make teeth`` does it in a child process that ends after one
test.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

Stub = Callable[[tuple[object, ...], dict[str, object]], object]


class SwitchError(Exception):
    """This cannot be switched off."""


class Switch:
    """A check that is off. ``calls`` counts how often it would have been asked."""

    def __init__(self, target: str, returns: object = None) -> None:
        """:param target: ``module:function`` or ``module:Class.method``. :raises SwitchError: it does not exist."""
        self.target = target
        self.calls = 0
        owner, name, found = _find(target)
        function = _function(found)
        if function is None:
            self._replace_everywhere(owner, name, found, self._stub(_answer(found, returns)))
        else:
            self._replace_code(function, self._stub(_answer(function, returns)))

    def _stub(self, answer: Stub) -> Stub:
        def stub(args: tuple[object, ...], kwargs: dict[str, object]) -> object:
            self.calls += 1
            return answer(args, kwargs)

        return stub

    def _replace_code(self, function: FunctionType, stub: Stub) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise SwitchError(f"{self.target} is a generator; put the check into a function of its own")
        model = _async_model if inspect.iscoroutinefunction(function) else _model
        # The closure of a function cannot be taken away, so the new code claims the same free variables.
        function.__code__ = model.__code__.replace(co_freevars=function.__code__.co_freevars)
        function.__defaults__ = None
        function.__kwdefaults__ = {"_teeth": stub}

    def _replace_everywhere(self, owner: object, name: str, found: object, stub: Stub) -> None:
        if not callable(found):
            raise SwitchError(f"{self.target} is not a function")

        def replacement(*args: object, **kwargs: object) -> object:
            return stub(args, kwargs)

        setattr(owner, name, replacement)
        for module in list(sys.modules.values()):
            for key, value in list(vars(module).items()) if isinstance(module, ModuleType) else ():
                if value is found:
                    setattr(module, key, replacement)


def _model(*args: object, _teeth: Any, **kwargs: object) -> object:
    return _teeth(args, kwargs)


async def _async_model(*args: object, _teeth: Any, **kwargs: object) -> object:
    return _teeth(args, kwargs)


def _find(target: str) -> tuple[object, str, object]:
    """Return the owner, the attribute's name and the attribute itself, as it is stored there."""
    module_name, _, path = target.partition(":")
    try:
        owner: object = importlib.import_module(module_name)
    except ImportError as error:
        raise SwitchError(f"{target}: {error}") from error
    *outer, name = path.split(".")
    for step in outer:
        owner = getattr(owner, step, None)
    namespace: Mapping[str, object] = getattr(owner, "__dict__", {})
    if name not in namespace:
        raise SwitchError(f"{target}: there is no {path} in {module_name} (an inherited method: name the base class)")
    return owner, name, namespace[name]


def _function(found: object) -> FunctionType | None:
    if isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    elif isinstance(found, property):
        found = found.fget
    elif isinstance(found, functools.cached_property):
        found = found.func
    return found if isinstance(found, FunctionType) else None


def _answer(found: object, returns: object) -> Stub:
    if not isinstance(returns, dict):
        return lambda _args, _kwargs: returns
    ((kind, value),) = returns.items()
    if kind == "bytes":
        constant = bytes.fromhex(value)
        return lambda _args, _kwargs: constant
    if kind == "name":
        named = _find(value)[2]
        return lambda _args, _kwargs: named
    signature = inspect.signature(found) if callable(found) else inspect.Signature()
    if value not in signature.parameters:
        raise SwitchError(f"there is no argument {value}")
    return lambda args, kwargs: signature.bind(*args, **kwargs).arguments[value]
