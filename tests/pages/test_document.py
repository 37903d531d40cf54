"""Pages of results: whole in themselves, readable by programs for those who cannot see, and true to their figures."""

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snerv_codec.pages.compare import Pair, data_uri, slider
from snerv_codec.pages.document import Figure, Row, Section, Table, Text, Verdict, anchor, html
from snerv_codec.pages.plot import WIDE, Line, bar, log_ticks, plot, ticks

VOID = {"meta", "img", "input", "br"}


class Outline(HTMLParser):
    """Checks that every element is closed in its turn, and keeps identifiers, links and texts."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_a_page_is_whole_and_needs_nothing_else():
    drawing = plot([Line("a <b>", [(0.1, 30), (1, 40)], marked=True)], "bpp", "dB", log_x=True)
    pair = Pair("frame 3", b"\x89PNG...", b"RIFF", 64, 32)
    page = html(
        "Bunny & friends",
        [
            Verdict("It is <good>.", (("PSNR", "31 dB"),)),
            Section("Over time", [Row([Figure("curve", drawing), Figure("pictures", slider([pair, pair]))])]),
            Section("Every 2nd figure", [Text("list", ("one", "two")), Table(("a", "b"), [("x", "1")])], folded=True),
        ],
        contents=True,
    )
    outline = Outline(page)
    assert "It is <good>." in outline.texts
    assert "a <b>" in outline.texts
    assert outline.ids == ["over-time", "every-2nd-figure"]
    assert outline.links == ["#over-time", "#every-2nd-figure"]
    assert outline.sources
    assert all(source.startswith("data:") for source in outline.sources)
    assert "://" not in page


def test_an_anchor_is_plain():
    assert anchor("Bits: by tensor, sound & the rest") == "bits-by-tensor-sound-the-rest"


def test_a_picture_travels_in_its_address():
    assert data_uri(b"\x89PNG") == "data:image/png;base64,iVBORw=="


def places(drawing):
    """Centres of the dots of the wide drawing."""
    wide = drawing[: drawing.index("</svg>")]
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', wide)]


@pytest.mark.parametrize("log_x", [False, True])
def test_dots_lie_where_their_figures_say(log_x):
    points = [(0.01, 30.0), (0.1, 35.0), (1.0, 40.0)]
    dots = places(plot([Line("x", points, marked=True)], "bpp", "dB", log_x=log_x))
    assert all(0 < x < WIDE[0] and 0 < y < WIDE[1] for x, y in dots)
    (x0, y0), (x1, y1), (x2, y2) = dots
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y2  # better is higher
    share = (x1 - x0) / (x2 - x0)
    assert share == pytest.approx(0.5 if log_x else 0.09 / 0.99, abs=0.01)


def test_the_worst_of_a_long_line_is_never_left_out():
    points = [(i, 40.0) for i in range(12345)]
    points[7777] = (7777, 20.0)
    dots = places(plot([Line("x", points, marked=True)], "s", "dB"))
    lowest = max(y for _, y in dots)
    assert sum(y == lowest for _, y in dots) == 1
    assert len(dots) <= 1000


@pytest.mark.parametrize("low", [0.2217, 12.5, 30.0, 12345.6])
def test_what_is_written_at_an_axis_leaves_room_for_its_label(low):
    drawn = plot([Line("x", [(0, low), (1, low * 1.0005)])], "s", "PSNR (dB)")
    found = re.findall(r'<text x="(\d+)" [^>]*text-anchor="end">([^<]+)<', drawn)
    assert len(found) > 4
    for end, text in found:
        assert int(end) - 7 * len(text) >= 19, text  # the label reaches to 18


def test_lines_of_one_value_are_drawn():
    for points in ([(1.0, 5.0)], [(1.0, 5.0), (2.0, 5.0)], [(0.0, 0.0)]):
        assert "nan" not in plot([Line("x", points)], "s", "dB")


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_round_within_and_few(low, span):
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 8
    step = found[1] - found[0]
    assert any(math.isclose(step, digit * 10.0**power, rel_tol=1e-6) for power in range(-6, 8) for digit in (1, 2, 5))
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)


def test_ticks_of_a_log_axis():
    assert log_ticks(0.03, 0.6) == pytest.approx([0.05, 0.1, 0.2, 0.5])


def test_a_bar_shows_shares():
    text = bar([("weights", 75, "snerv"), ("sound", 25, "x264")])
    assert "weights, 75.0%" in text
    assert "flex:0.25000" in text
    Outline(text)
