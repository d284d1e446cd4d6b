"""The keys of namespaces: a module's name, or a token for one that is no loaded module's."""

from __future__ import annotations

import secrets
import weakref
from types import FunctionType, ModuleType
from typing import Any

from compute_executor.serialization import by_value
from compute_executor.serialization.namespaces import MAIN

_Holder = FunctionType | ModuleType
_tokens: dict[int, tuple[str, weakref.WeakSet[_Holder]]] = {}
"""Tokens of namespaces that are no loaded module's (`exec`, a module that was made and not entered in sys.modules),
with the module, and functions that live in them: those tell whether it is still the one with that id."""


def key_of(names: dict[str, Any], module: ModuleType | None, example: FunctionType | None) -> str:
    if module is not None and (by_value.is_main(module) or by_value.module_of(names) is module):
        name = MAIN if by_value.is_main(module) else module.__name__
        return f"<{name}>" if name != MAIN and by_value.can_be_imported(module) else name
    known = _tokens.get(id(names))
    if known is None or not any(_names_of(one) is names for one in known[1]):
        known = _tokens[id(names)] = f"<{secrets.token_hex(8)}>", weakref.WeakSet()
    for one in (module, example):
        if one is not None:
            known[1].add(one)
    return known[0]


def _names_of(holder: _Holder) -> dict[str, Any]:
    return holder.__globals__ if isinstance(holder, FunctionType) else vars(holder)


def find(key: str) -> dict[str, Any] | None:
    """Return the namespace of that token, as long as a function lives in it."""
    for identity, (token, holders) in list(_tokens.items()):
        if token == key:
            return next((names for names in map(_names_of, holders) if id(names) == identity), None)
    return None
