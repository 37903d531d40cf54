"""Help that can be read: options under headings, examples on top, and research only for those who ask for all of it."""

from collections.abc import Callable, Sequence
from typing import Any

import click

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
BESIDE = 86  # columns in which an example and its purpose stand side by side
HELP = {"--help", "--help-all"}
ALL = "snerv.help_all"  # in a context's `meta`: whether hidden sections are shown too


class Option(click.Option):
    """An option that stands under a `heading`; one of `research` is left out of the plain help."""

    def __init__(self, *arguments: Any, heading: str = "", research: bool = False, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.heading, self.research = heading, research


class Command(click.Command):
    """A command whose help has `examples` (command line, what it does) and the options' headings."""

    def __init__(self, *arguments: Any, examples: Sequence[tuple[str, str]] = (), **others: Any) -> None:
        others.setdefault("context_settings", SETTINGS)
        super().__init__(*arguments, **others)
        self.examples = tuple(examples)
        if any(isinstance(option, Option) and option.research for option in self.params):
            show_all = click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_all,
                help="Show this message with the options for research.",
            )
            self.params.append(show_all)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it does, then how it is used."""
        super().format_help_text(ctx, formatter)
        if not self.examples:
            return
        with formatter.section("Examples"):
            if formatter.width >= BESIDE:
                formatter.write_dl(self.examples, col_max=48)
                return
            for line, purpose in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")  # whole, so that it can be copied
                with formatter.indentation():
                    formatter.write_text(purpose)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, by heading in the order of their first one, after those without a heading; help comes last."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            hidden = isinstance(option, Option) and option.research and ALL not in ctx.meta
            if record is None or hidden:
                continue
            heading = getattr(option, "heading", "") or ("Help" if HELP.intersection(option.opts) else "Options")
            sections.setdefault(heading, []).append(record)
        rest = sections.pop("Help")
        for heading, records in [*sections.items(), ("Help", rest)]:
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def section(heading: str, *options: Callable[[Any], Any], research: bool = False) -> Callable[[Any], Any]:
    """Put `options`, made by `option`, on a command, under a heading, in this order."""

    def put(function: Any) -> Any:  # each decorator adds its option to the end of a list that click reads backwards
        for decorate in reversed(options):
            function = decorate(function)
            made = function.__click_params__[-1]
            made.heading, made.research = heading, research
        return function

    return put


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """A `click.option` for a `section`."""
    return click.option(*names, cls=Option, **attributes)


def _show_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()
