"""The report: every figure from records, figures and tables in both forms, nothing fetched from elsewhere."""

import json
import re
from dataclasses import asdict
from html import unescape
from xml.etree import ElementTree

import pytest

from benchmarks import comparison, record, report
from benchmarks.bdrate import bd_rate
from benchmarks.curves import Curve
from snerv_codec.model.architectures import paper_config

pytest.importorskip("bjontegaard", reason="the extra bench is not installed")

ENVIRONMENT = {"commit": "abc123", "changed": False, "cpu": "A CPU", "cores": 2, "gpu": "", "python": "3.11.7"}
CURVES = {
    "snerv": [
        (0.2, 28.0, 0.95, 70.0),
        (0.4, 31.0, 0.97, 80.0),
        (0.7, 33.0, 0.98, 86.0),
        (1.1, 35.0, 0.985, 90.0),
    ],
    "x264-medium": [
        (0.05, 28.5, 0.94, 65.0),
        (0.1, 31.5, 0.965, 79.0),
        (0.2, 34.0, 0.98, 88.0),
        (0.4, 37.0, 0.99, 94.0),
    ],
    "x265-medium": [
        (0.05, 36.0, 0.99, 92.0),
        (0.1, 38.0, 0.992, 94.0),
        (0.2, 40.0, 0.995, 96.0),
        (0.4, 42.0, 0.997, 98.0),
    ],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Records of three codecs on one clip, one of them failed at a point."""
    folder = tmp_path_factory.mktemp("results")
    clip = {"name": "bunny-small", "description": "a clip", "width": 384, "height": 192, "frames": 33, "rate": "25"}
    common = {
        "environment": {**ENVIRONMENT, "versions": {"torch": "2.13.0"}},
        "dataset": clip,
        "version": "program 1",
        "library": "encoder 7",
        "time": {
            "encode": {"seconds": 3.3, "cpu_seconds": 6.6},
            "decode": {"seconds": 0.33, "cpu_seconds": 0.66},
            "threads": 2,
            "load_before": 0.5,
        },
    }
    (folder / "rd" / "bunny-small").mkdir(parents=True)
    phases = [{"name": "fit", "epochs": 9, "schedule": "linear"}]
    ours = {"model": "b", "recipe": "rd", "optimizer": "muon", "rate_weight": 0.01, "phases": phases}
    for codec, points in CURVES.items():
        lines = []
        for number, (bpp, psnr, ms_ssim, vmaf) in enumerate(points):
            size = round(bpp * 384 * 192 * 33 / 8)
            values = {
                "status": "done",
                "codec": codec,
                "point": f"p{number}",
                "rate": {"bytes": size, "bpp": bpp, "stream_bytes": size - 100, "stream_bpp": bpp},
                "quality": {
                    "psnr": psnr,
                    "psnr_yuv": psnr + 3,
                    "ms_ssim": ms_ssim,
                    "vmaf": vmaf,
                    "vmaf_model": "v1",
                    "vmaf_version": "9",
                },
            }
            settings = {**ours, "size": f"{number}k"} if codec == "snerv" else {}
            lines.append({**common, **values, "settings": settings})
        if codec == "x265-medium":
            lines.append({**common, "status": "failed", "codec": codec, "point": "p9", "reason": "the <disk> is full"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "rd" / "bunny-small" / f"{codec}.jsonl").write_text(text)
    ceiling = {"quality": {"psnr": 43.21, "ms_ssim": 0.999, "vmaf": 99.0}}
    (folder / "rd" / "bunny-small" / "ceiling-420.jsonl").write_text(json.dumps(ceiling))
    report.main(["--results", str(folder), "--output", str(folder / "report")])
    return folder


@pytest.fixture(scope="module")
def page(results):
    return (results / "report" / "index.html").read_text()


def text_of(page):
    """What one reads, a line a row of a table, cells apart by bars."""
    page = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL)
    page = re.sub(r"</t[hd]><t[hd][^>]*>", " | ", page)
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r"<(?!/?(a|i)\b)", "\n<", page)))


def test_the_verdict_comes_first_and_follows_from_the_records(page):
    ours, anchor = ([(bpp, psnr) for bpp, psnr, *_ in CURVES[name]] for name in ("snerv", "x264-medium"))
    delta = bd_rate(anchor, ours)
    verdict = f"the best of snerv takes {1 + delta.value / 100:.1f}× its rate on bunny-small."
    text = text_of(page)
    assert text.index("At the same PSNR as x264-medium, " + verdict) < text.index("The best of snerv on each clip")
    assert f"bunny-small: snerv rd 9 | {delta.value:+.0f} % ({delta.overlap:.0%})" in text
    assert f"x264-medium | {delta.value:+.0f} % ({delta.overlap:.0%})" in text
    for metric in ("PSNR", "YUV 6:1:1"):
        assert f"Times the anchor's rate at the same {metric}, and" in text


def test_yuv_stands_beside_rgb(page):
    ours, anchor = ([(bpp, psnr + 3) for bpp, psnr, *_ in CURVES[name]] for name in ("snerv", "x264-medium"))
    assert "BD-rate by YUV 6:1:1 against" in page
    header = next(line for line in text_of(page).splitlines() if line.startswith("anchor"))
    assert header.split(" | ")[:3] == ["anchor", "BD-rate, PSNR", "BD-rate, YUV 6:1:1"]
    delta = bd_rate(anchor, ours)
    row = next(line for line in text_of(page).splitlines() if line.startswith("x264-medium | +"))
    assert row.split(" | ")[2] == f"{delta.value:+.0f} % ({delta.overlap:.0%})"


def test_what_is_refused_is_a_dash_with_its_reason(page):
    assert re.search(r"^x265-medium \| – \|", text_of(page), re.MULTILINE), "36..42 dB and 28..35 dB do not meet"
    assert "Refused, as the curves overlap by 0% of at least 50%" in page


def test_points_stand_beside_the_anchors(page):
    row = next(line for line in text_of(page).splitlines() if line.startswith("p0 |"))
    assert "28.00" in row
    assert "-6.00 dB" in row, "34 dB is what x264-medium has at 0.2 bpp"


def test_speeds_are_frames_a_second_and_processor_time(page):
    assert "x264-medium | 10 | 0.2 | 100 | 0.02 | 2 threads" in text_of(page)


def test_failures_caveats_settings_and_sources_are_there(page):
    text = text_of(page)
    assert "x265-medium p9 failed: the <disk> is full" in text
    assert "43.21 dB" in text
    assert "Bunny is decoded H.264" in text
    assert "All: model b, recipe rd, optimizer muon, rate_weight 0.01, phases 9 fit, version program 1." in text
    assert "13 points: program 1 (encoder 7); commit abc123; A CPU, 2 cores; Python 3.11.7, torch 2.13.0" in text


def test_the_page_stands_alone_and_its_contents_lead_somewhere(page):
    assert page.count("<svg") >= 6
    assert "the &lt;disk&gt; is full" in page
    assert "prefers-color-scheme:dark" in page
    names = re.findall(r'id="([^"]*)"', page)
    assert len(names) == len(set(names))
    for link in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert link.removeprefix("#") in names, link
    assert "url(http" not in page


def test_figures_are_files_too(results):
    folder = results / "report"
    report.main(["--results", str(results), "--output", str(folder), "--figures", str(folder)])
    drawing = (folder / "bunny-small-psnr.svg").read_text()
    ElementTree.fromstring(drawing)
    assert "snerv rd 9" in drawing
    assert "prefers-color-scheme:dark" in drawing


def test_the_readmes_figure_is_that_of_the_records(tmp_path):
    report.main(["--dataset", "bunny-small", "--output", str(tmp_path), "--figures", str(tmp_path)])
    kept = record.RESULTS / "figures" / "bunny-small-psnr.svg"
    assert (tmp_path / kept.name).read_text() == kept.read_text(), f"make it again: benchmarks.report --figures {kept}"


def test_a_selection_of_codecs_and_an_empty_one(results, tmp_path):
    report.main(["--results", str(results), "--output", str(tmp_path), "--codec", "x264-medium"])
    assert "x265-medium" not in (tmp_path / "index.html").read_text()
    with pytest.raises(SystemExit, match="no such records"):
        report.main(["--results", str(results), "--dataset", "absent"])


def test_ways_of_ours_are_held_against_each_other():
    points = {
        "snerv-paper": [(0.2, 28.0), (0.4, 31.0), (0.7, 33.0), (1.1, 35.0)],
        "snerv-rd": [(0.1, 28.0), (0.2, 31.0), (0.35, 33.0), (0.55, 35.0)],
    }
    curves = [
        Curve("clip", "snerv", name, tuple({"rate": {"bpp": bpp}, "quality": {"psnr": psnr}} for bpp, psnr in line))
        for name, line in points.items()
    ]
    table = comparison.among_table(curves, list(points), comparison.PSNR)
    assert table.header == ("BD-rate by PSNR against", "snerv-paper", "snerv-rd")
    first, second = table.rows
    assert first[1] == second[2] == "–"
    assert first[2].startswith("+100")
    assert second[1].startswith("-50.0 %")


def test_arithmetic_stands_beside_points_of_ours(page):
    """Bunny at 3M takes 90.10 GMAC a frame (paper, table 2b); older records have the parts of a configuration."""
    config = paper_config((16, 2, 4), (5, 4, 2, 2, 2), 111, 6)
    parts = {"embedding_shape": [16, 2, 4], "strides": [5, 4, 2, 2, 2], "channels": 111, "blocks": 6}
    for found in (asdict(config), parts):
        point = {"dataset": {"width": 1280, "height": 640, "frames": 132}, "details": {"config": found}}
        assert comparison.arithmetic(json.loads(json.dumps(point))) == "110"
    assert "kMAC a pixel" in text_of(page)
