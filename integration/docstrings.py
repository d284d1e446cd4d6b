"""Docstrings as the site shows them: mkdocstrings reads Markdown, the source has doctests and roles of Sphinx."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^( *>>> .*(?:\n(?! *\n).+)*)", re.MULTILINE)
ROLE = re.compile(r":(?:meth|func|class|data|attr|mod|exc):`")


class Markdown(griffe.Extension):
    """Changes each docstring when its object has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """Doctests as blocks of code, roles as code."""
    return DOCTEST.sub(r"```pycon\n\1\n```", ROLE.sub("`", text))
