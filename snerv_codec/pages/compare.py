"""Two pictures, or the two halves of a video, one over the other under a slider, as HTML for a page."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LARGEST = 2.5  # how much larger than its pixels a picture may be shown


@dataclass(frozen=True, slots=True)
class Pair:
    """What one picture was and what became of it: PNG files as bytes, each `width` x `height`.

    `name` is what the picture is chosen by where there are several.
    """

    name: str
    before: bytes
    after: bytes
    width: int
    height: int


def slider(pairs: Sequence[Pair], names: tuple[str, str] = ("original", "decoded")) -> str:
    """The pairs, one shown at a time: a slider moves the border between before and after, also by arrow keys."""
    stages, picks = [], []
    for number, pair in enumerate(pairs):
        pictures = "".join(
            f'<img class="{kind}" src="{data_uri(data)}" alt="{escape(f"{name}, {pair.name}")}">'
            for kind, name, data in zip(("before", "after"), names, (pair.before, pair.after), strict=True)
        )
        stages.append(_stage(pictures, names, pair.width, pair.height, hidden=number > 0))
        checked = "" if number else " checked"
        picks.append(f'<label><input type="radio" name="pair" value="{number}"{checked}>{escape(pair.name)}</label>')
    choice = f'<fieldset class="picks"><legend>Frame</legend>{"".join(picks)}</fieldset>' if len(pairs) > 1 else ""
    return f"<div>{''.join(stages)}{choice}</div>"


def clip(video: bytes, width: int, height: int, names: tuple[str, str] = ("original", "decoded")) -> str:
    """An MP4 whose frames are before and after beside each other, `width` x `height` each, under one slider.

    A browser that cannot play it shows nothing of it.
    """
    halves = "".join(
        f'<canvas class="{kind}" width="{width}" height="{height}"></canvas>' for kind in ("before", "after")
    )
    source = data_uri(video, "video/mp4")
    return (
        f'<div class="clip" hidden><video src="{source}" hidden muted loop playsinline preload="auto"></video>'
        f'{_stage(halves, names, width, height)}<p><button type="button">Play</button></p></div>'
    )


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """`data`, of a media type, as an address that holds it."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


def _stage(inner: str, names: tuple[str, str], width: int, height: int, *, hidden: bool = False) -> str:
    before, after = map(escape, names)
    style = f"aspect-ratio:{width}/{height};width:{round(LARGEST * width)}px"
    return (
        f'<div class="stage" style="{style}"{" hidden" if hidden else ""}>{inner}<span>{before}</span>'
        f'<span>{after}</span><i></i><input type="range" value="50" aria-label="Border between {before} and {after}">'
        "</div>"
    )
