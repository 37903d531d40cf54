"""Options of a command from a TOML file."""

import tomllib
from pathlib import Path
from typing import Any

import click

from snerv_codec.cli.help import Option
from snerv_codec.errors import InputError


def read_config(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Take what the file at `path` gives as the defaults of the command's options, by their long names.

    Raises `InputError` for a file that cannot be read, `click.UsageError` for a name that no option has.
    """
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {error}") from error
    by_name = {
        flag.lstrip("-").replace("-", "_"): option
        for option in context.command.params
        if isinstance(option, click.Option) and option is not parameter
        for flag in option.opts
        if flag.startswith("--")
    }
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        option = by_name.get(key.replace("-", "_"))
        if option is None or option.name is None:
            raise click.UsageError(f"{path}: there is no option --{key.replace('_', '-')}.")
        defaults[option.name] = _as_default(option, value)
    context.default_map = {**(context.default_map or {}), **defaults}


def _as_default(option: click.Option, value: Any) -> Any:
    """A value as it would be written on the command line; flags stay true or false."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"{option.opts[-1]} is true or false, not {value!r}.")
        return value != (option.flag_value is False)  # --no-audio = true makes `audio` false
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


# Gives a command the option.
config_option = click.option(
    "--config",
    cls=Option,
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="Options from a TOML file, such as frames = '0:100'; those on the command line come first.",
)
