"""``compute-executor explain``: cause and remedy of an error, from the page of the documentation that has them."""

from __future__ import annotations

import difflib
import re
from importlib import resources

import click

from compute_executor.cli.wrong_input import WrongInput

PAGE = "errors.md"
"""In the source tree a link to docs/reference/errors.md; in what is built, its content."""
SECTION = re.compile(r"^### (\w+)\n+(Code \d+\.\n.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


@click.command()
@click.argument("error", required=False)
def explain(error: str | None) -> None:
    """Say what causes an error, and what to do about it.

    ERROR is the name of its class, or its code. Without one: the names of all.
    """
    found = sections()
    if error is None:
        click.echo("\n".join(sorted(found)))
        return
    names = {name.lower(): name for name in found}
    names |= {text.partition(".")[0].removeprefix("Code "): name for name, text in found.items()}
    wanted = error.rpartition(".")[2].lower()
    name = names.get(wanted)
    if name is None:
        near = difflib.get_close_matches(wanted, filter(str.isalpha, names), n=1)
        advice = f"did you mean {names[near[0]]}?" if near else "compute-executor explain lists them"
        raise WrongInput(f"there is no error {error}: {advice}")
    click.echo(f"{name}\n\n{found[name]}")


def sections() -> dict[str, str]:
    """Return the text of each error by the name of its class."""
    page = (resources.files("compute_executor") / PAGE).read_text(encoding="utf-8")
    return {name: plain(text) for name, text in SECTION.findall(page)}


def plain(text: str) -> str:
    """Markdown as it is read in a terminal: without links and emphasis."""
    return LINK.sub(r"\1", text).replace("**", "").strip()
