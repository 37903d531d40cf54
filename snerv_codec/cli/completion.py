"""`snerv completion`: what a shell needs to complete commands, options and files."""

import click
from click.shell_completion import get_completion_class

from snerv_codec.cli.help import Command

HOW = {
    "bash": 'eval "$(snerv completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(snerv completion zsh)" in ~/.zshrc',
    "fish": "snerv completion fish > ~/.config/fish/completions/snerv.fish",
}


@click.command("completion", cls=Command, epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(list(HOW)))
def command(shell: str) -> None:
    """Print a script that makes SHELL complete commands, options and files."""
    from snerv_codec.cli.group import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "snerv", "_SNERV_COMPLETE").source())
