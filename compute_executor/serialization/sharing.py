"""Which objects several globals of a program share.

Such an object travels once, in the unit of one of them, the *lender*; the others refer to it by its number in that
unit's stream. So a task that knows one of them and a task that knows another change the same object in a worker, in
whichever order they come. Whoever was sent first lends: its unit stays the one that workers have.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from compute_executor.serialization.drafts import Draft
from compute_executor.serialization.namespaces import Name

MAX_SENT = 100_000
_ranks: dict[Name, int] = {}
"""Globals that were sent with something in them that may change, in the order of the first time."""
_sent_in: dict[int, Name] = {}
"""By the id of an object to which others refer: the global that it was last sent in. A hint, to be tried: objects go,
and others get their ids."""


def remember(drafts: list[Draft]) -> None:
    """Note that these were sent."""
    for table in (_ranks, _sent_in):
        if len(table) >= MAX_SENT:
            table.clear()
    for draft in drafts:
        if draft.inner:
            for name in draft.names:
                _ranks.setdefault(name, len(_ranks))
            _sent_in.update(dict.fromkeys(draft.outside - draft.loans.keys(), draft.names[0]))
    for draft in drafts:
        _sent_in.update({one: loan.name for one, loan in draft.loans.items()})


def lenders(
    shared: set[int], value: Callable[[Name], Any], inner: Callable[[Name], Collection[int] | None]
) -> list[Name]:
    """Return the globals that were sent before and have one of these objects in them. ``value``: that of a global;
    None if it need not be looked into; ``inner``: what was found in it already; None: it was not looked into."""
    hints: dict[Name, set[int]] = {}
    for one in shared:
        if (name := _sent_in.get(one)) is not None:  # other threads write there
            hints.setdefault(name, set()).add(one)
    found: dict[Name, None] = {}
    unknown = set(shared)
    for name, hinted in hints.items():
        known = inner(name)
        if there := hinted.intersection(found_in(value(name), hinted) if known is None else known):
            found[name] = None
            unknown -= there
    if unknown:
        found |= dict.fromkeys(name for name in list(_ranks) if any(found_in(value(name), unknown)))
    return list(found)


def in_order(drafts: list[Draft]) -> list[tuple[Draft, dict[int, Draft]]]:
    """Return the drafts that borrow, each behind its lenders: with the lender of each object, by id."""
    loans = _loans(drafts)
    if not loans:
        return []
    from graphlib import TopologicalSorter  # what most programs do without

    graph = {one: {id(lender) for lender in lenders.values()} for one, lenders in loans.items()}
    by_id = {id(one): one for one in drafts}
    order = TopologicalSorter(graph).static_order()
    return [(by_id[one], loans[one]) for one in order if one in loans]


def circles_of(drafts: list[Draft], is_object: Callable[[Name], bool]) -> list[list[Draft]]:
    """Drafts that refer to each other in a circle. Not for functions and classes, which can be referred to as soon as
    they are made, before they have all that belongs to them; but for what they borrow, too."""
    by_id = {id(one): one for one in drafts if one.names}
    of_name = {name: id(one) for one in by_id.values() for name in one.names}
    edges = {
        one: {of_name[name] for name in draft.direct if name in of_name} - {one}
        for one, draft in by_id.items()
    }
    objects = {one for one, draft in by_id.items() if is_object(draft.names[0])}
    found = circles({one: edges[one] & objects for one in objects})
    loans = {
        one: {id(lender) for lender in lenders.values()}
        for one, lenders in _loans(drafts).items()
        if one in by_id
    }
    if not found and loans:
        groups = circles({one: others | loans.get(one, set()) for one, others in edges.items()})
        found = [
            group
            for group in groups
            if any(not loans[one].isdisjoint(group) for one in group if one in loans)
        ]
    return [[by_id[one] for one in group] for group in found]


def _loans(drafts: list[Draft]) -> dict[int, dict[int, Draft]]:
    """For each draft that borrows, by id: the lender of each object that it shares with one that comes before it."""
    holders: dict[int, list[Draft]] = {}
    for draft in drafts:
        for one in draft.inner:
            holders.setdefault(one, []).append(draft)
    found: dict[int, dict[int, Draft]] = {}
    for one, several in holders.items():
        if len(several) > 1:
            lender = min(several, key=lambda draft: _place(draft, one))
            for draft in several:
                if draft is not lender:
                    found.setdefault(id(draft), {})[one] = lender
    return found


def _place(draft: Draft, identity: int) -> tuple[Any, ...]:
    """Return where a draft stands among those that could lend an object: the smallest does."""
    rank = min((_ranks.get(name, MAX_SENT) for name in draft.names), default=2 * MAX_SENT)
    return _sent_in.get(identity) not in draft.names, rank, len(draft.direct), draft.names


def found_in(value: Any, wanted: set[int]) -> Iterator[int]:
    """Yield those of the objects with these ids that are in a value."""
    missing = set(wanted)
    waiting = list(vars(value).values()) if isinstance(value, type) else [value]
    seen: set[int] = set()
    while waiting:
        found = [one for one in waiting if id(one) not in seen and not isinstance(one, (type, ModuleType))]
        here = missing.intersection(map(id, found))
        yield from here
        missing -= here
        if not missing:
            return
        seen.update(map(id, found))
        waiting = gc.get_referents(
            *(one for one in found if type(one) is not FunctionType and gc.is_tracked(one))
        )
        for function in (one for one in found if type(one) is FunctionType):
            waiting += (function.__closure__, function.__defaults__, function.__kwdefaults__, vars(function))


_Node = TypeVar("_Node", bound=Hashable)


def circles(edges: Mapping[_Node, set[_Node]]) -> list[list[_Node]]:
    """Return the nodes that lead to each other.

    >>> circles({1: {2}, 2: {3}, 3: {2}, 4: {1}})
    [[2, 3]]
    """
    from graphlib import CycleError, TopologicalSorter  # what most programs do without

    if not any(edges.values()):
        return []
    one_for = {node: node for node in edges}
    while True:
        joined: dict[_Node, set[_Node]] = {node: set() for node in one_for.values()}
        for node, others in edges.items():
            joined[one_for[node]] |= {one_for[other] for other in others} - {one_for[node]}
        try:
            TopologicalSorter(joined).prepare()
        except CycleError as error:
            circle = error.args[1]
            one_for = {node: circle[0] if one in circle else one for node, one in one_for.items()}
        else:
            break
    members: dict[_Node, list[_Node]] = {}
    for node, one in one_for.items():
        members.setdefault(one, []).append(node)
    return [nodes for nodes in members.values() if len(nodes) > 1]
