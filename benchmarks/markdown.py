"""Texts and tables as Markdown, to read in a terminal or to paste."""

from collections.abc import Sequence

from snerv_codec.pages.document import Block, Section, Table, Text


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """The document; other blocks than texts, tables and sections of them are left out."""
    return "\n\n".join(["# " + title, *_all(blocks, 2)]) + "\n"


def _all(blocks: Sequence[Block], level: int) -> list[str]:
    return [text for block in blocks if (text := _markdown(block, level))]


def _markdown(block: Block, level: int) -> str:
    if isinstance(block, Text):
        return "\n".join([block.text, *(f"- {item}" for item in block.items)])
    if isinstance(block, Table):
        rule = "|".join(["---", *["---:"] * (len(block.header) - 1)])
        lines = [f"| {' | '.join(block.header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in block.rows)]
        return "\n".join(lines) + "".join(f"\n\n{note}" for note in block.notes)
    if isinstance(block, Section):
        return "\n\n".join([f"{'#' * level} {block.title}", *_all(block.blocks, level + 1)])
    return ""
