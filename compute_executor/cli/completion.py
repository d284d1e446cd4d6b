"""``compute-executor completion``: what makes a shell complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "compute-executor"
VARIABLE = "_COMPUTE_EXECUTOR_COMPLETE"
"""How the shell's function asks for completions; click derives it from the program's name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  compute-executor completion bash > ~/.local/share/bash-completion/completions/compute-executor
    zsh:   compute-executor completion zsh > ~/.zfunc/_compute-executor    (with ~/.zfunc in fpath)
    fish:  compute-executor completion fish > ~/.config/fish/completions/compute-executor.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three"
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
