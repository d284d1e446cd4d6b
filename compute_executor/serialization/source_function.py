"""A function that travels as its source, for workers of another version of Python: bytecode is of one version."""

from __future__ import annotations

from typing import Any


class SourceFunction:
    """A function of this name, defined by this source, which is run once in each process that calls it."""

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._source = source
        self._made: Any = None

    def __reduce__(self) -> tuple[type[SourceFunction], tuple[str, str]]:
        return SourceFunction, (self._name, self._source)

    @property
    def __name__(self) -> str:  # of each instance, as functions have it
        return self._name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self._made is None:
            names: dict[str, Any] = {"__name__": "__main__"}
            exec(compile(self._source, f"<source of {self._name}>", "exec"), names)
            self._made = names[self._name]
        return self._made(*args, **kwargs)
