"""Documents of headings, paragraphs, tables and figures, as Markdown and as one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.plots import PALETTE, Figure


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or with `items` a list below it."""

    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts; the first column names the row, the others hold figures. `notes` stand below."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()


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


Block = Text | Table | Figure | Row | Section


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """The document as Markdown; figures are links to their PNG files."""
    return "\n\n".join([f"# {title}", *(_markdown(block, 2) for block in blocks)]) + "\n"


def html(title: str, blocks: Sequence[Block]) -> str:
    """The document as one HTML page that needs nothing else; it follows the reader's light or dark setting."""
    light, dark = ("".join(f"--{name}:{pair[i]};" for name, pair in PALETTE.items()) for i in (0, 1))
    style = f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{_STYLE}"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(_html(block, 2) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<meta name="color-scheme" content="light dark">'
        f"<style>{style}</style></head>\n<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )


def _markdown(block: Block, level: int) -> str:
    if isinstance(block, Text):
        return "\n".join([block.text, *(f"- {item}" for item in block.items)])
    if isinstance(block, Figure):
        return f"![{block.title}]({block.png})"
    if isinstance(block, Table):
        rule = "|".join(["---", *["---:"] * (len(block.header) - 1)])
        lines = [f"| {' | '.join(block.header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in block.rows)]
        return "\n".join(lines) + "".join(f"\n\n{note}" for note in block.notes)
    if isinstance(block, Row):
        return "\n\n".join(_markdown(inner, level) for inner in block.blocks)
    return "\n\n".join([f"{'#' * level} {block.title}", *(_markdown(inner, level + 1) for inner in block.blocks)])


def _html(block: Block, level: int) -> str:
    if isinstance(block, Text):
        items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
        return f"<p>{escape(block.text)}</p>" + (f"<ul>{items}</ul>" if items else "")
    if isinstance(block, Figure):
        return f"<figure><figcaption>{escape(block.title)}</figcaption>{block.inline}</figure>"
    if isinstance(block, Table):
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in block.header)
        rows = "".join(f"<tr>{''.join(_cell(text, i) for i, text in enumerate(row))}</tr>\n" for row in block.rows)
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in block.notes)
        return f'<div class="table"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>{notes}'
    inner = "\n".join(_html(each, level + 1) for each in block.blocks)
    if isinstance(block, Row):
        return f'<div class="row">{inner}</div>'
    if block.folded:
        return f"<details><summary>{escape(block.title)}</summary>{inner}</details>"
    return f"<section><h{level}>{escape(block.title)}</h{level}>{inner}</section>"


def _cell(text: str, column: int) -> str:
    return f'<th scope="row">{escape(text)}</th>' if column == 0 else f"<td>{escape(text)}</td>"


_STYLE = """
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:2rem;line-height:1.2;letter-spacing:-.02em;margin:0 0 1rem}
h2{font-size:1.4rem;letter-spacing:-.01em;margin:3rem 0 .75rem;padding-top:1rem;border-top:1px solid var(--faint)}
h3{font-size:1.05rem;margin:2rem 0 .5rem}
p{max-width:46rem;margin:.5rem 0}
ul{max-width:46rem;padding-left:1.2rem;margin:.5rem 0}
li{margin:.3rem 0}
figure{margin:1.25rem 0}
figcaption{font-weight:600;margin-bottom:.25rem}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:1.5rem}
.row figure{margin:0}
svg{width:100%;height:auto;display:block}
.table{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .9rem .35rem 0;text-align:right;border-bottom:1px solid var(--faint);vertical-align:top}
td{white-space:nowrap}
td:last-child,th:last-child{padding-right:0}
thead th{font-weight:600;vertical-align:bottom}
tbody th{font-weight:400;text-align:left;min-width:9rem}
thead th:first-child{text-align:left}
tbody tr:hover{background:color-mix(in srgb,var(--faint) 35%,transparent)}
.note{font-size:.85rem;opacity:.8}
details{margin:1.25rem 0}
summary{cursor:pointer;font-weight:600}
"""
