"""A document of blocks as one self-contained HTML page, light or dark as its reader has it set."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

# Colours on a light and on a dark page; the names are CSS variables.
PALETTE = {
    "ink": ("#23262b", "#e6e8eb"),
    "faint": ("#d9dce1", "#3a3f47"),
    "paper": ("#ffffff", "#16181c"),
    "snerv": ("#c2255c", "#ff6b9a"),
    "x264": ("#3568a8", "#74a9e8"),
    "x265": ("#1f8a70", "#56c8aa"),
    "svtav1": ("#c27803", "#f0b44c"),
    "vvenc": ("#7654b3", "#b79be6"),
    "weak": ("#8a9099", "#8a9099"),
}


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or with `items` a list below it."""

    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the page comes to, in a sentence or two; `figures` are the few that count, each with its name."""

    text: str
    figures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts; the first column names the row, the others hold figures. `notes` stand below."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing under a title: `markup` is HTML or SVG that takes its colours from the page."""

    title: str
    markup: str


@dataclass(frozen=True, slots=True)
class Row:
    """Blocks beside each other, below each other on a narrow page."""

    blocks: "Sequence[Block]"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what belongs to it; `folded` ones open at a click."""

    title: str
    blocks: "Sequence[Block]"
    folded: bool = False


Block = Text | Verdict | Table | Figure | Row | Section


def html(title: str, blocks: Sequence[Block], *, contents: bool = False) -> str:
    """The document as one HTML page; with `contents` the sections' titles lead to them, in a list on top."""
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in PALETTE.items()) for i in (0, 1))
    style = f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{_asset('page.css')}"
    sections = [block for block in blocks if isinstance(block, Section)]
    links = "".join(f'<li><a href="#{anchor(each.title)}">{escape(each.title)}</a></li>' for each in sections)
    first = next((i for i, block in enumerate(blocks) if isinstance(block, Section)), len(blocks))
    parts = [_html(block, 2) for block in blocks]
    if contents:
        parts.insert(first, f'<nav aria-label="Contents"><ul>{links}</ul></nav>')
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<meta name="color-scheme" content="light dark">'
        f"<style>{style}</style></head>\n<body><main><h1>{escape(title)}</h1>\n{body}\n</main>"
        f"<script>{_asset('page.js')}</script></body></html>\n"
    )


def anchor(title: str) -> str:
    """What the address of a section ends in: its title in small letters, with hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def _asset(name: str) -> str:
    return (files("snerv_codec.pages") / name).read_text()


def _html(block: Block, level: int) -> str:
    if isinstance(block, Text):
        items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
        return f"<p>{escape(block.text)}</p>" + (f"<ul>{items}</ul>" if items else "")
    if isinstance(block, Verdict):
        tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in block.figures)
        return f'<p class="verdict">{escape(block.text)}</p>' + (f'<dl class="tiles">{tiles}</dl>' if tiles else "")
    if isinstance(block, Figure):
        return f"<figure><figcaption>{escape(block.title)}</figcaption>{block.markup}</figure>"
    if isinstance(block, Table):
        return _table(block)
    inner = "\n".join(_html(each, level + 1) for each in block.blocks)
    if isinstance(block, Row):
        return f'<div class="row">{inner}</div>'
    name = anchor(block.title)
    if block.folded:
        return f'<details id="{name}"><summary>{escape(block.title)}</summary>{inner}</details>'
    return f'<section id="{name}"><h{level}>{escape(block.title)}</h{level}>{inner}</section>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.header)
    rows = "".join(f"<tr>{''.join(_cell(text, i) for i, text in enumerate(row))}</tr>\n" for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    inner = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>"
    return f'<div class="table" tabindex="0" role="region" aria-label="Table">{inner}</div>{notes}'


def _cell(text: str, column: int) -> str:
    return f'<th scope="row">{escape(text)}</th>' if column == 0 else f"<td>{escape(text)}</td>"
