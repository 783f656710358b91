"""The command that prints the script by which a shell completes all others. click writes it."""

import click
from click.shell_completion import get_completion_class

from carto_audit.runtime.errors import ExitCode

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the script that lets a shell complete commands, options and paths.

    \b
    Examples:
      carto-audit completion bash >> ~/.bashrc
      carto-audit completion zsh >> ~/.zshrc
      carto-audit completion fish > ~/.config/fish/completions/carto-audit.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "carto-audit", "_CARTO_AUDIT_COMPLETE").source())
    return ExitCode.ACCEPTED
