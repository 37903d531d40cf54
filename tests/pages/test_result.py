"""The page of a result: true to the file that it is about, and usable in a browser by mouse, finger and keyboard."""

import functools
import re
import shutil

import numpy as np
import pytest
from clips import moving_picture, write_clip

from snerv_codec import EncodeSettings, encode, evaluate
from snerv_codec.cli.main import main
from snerv_codec.compression.values import EMBEDDINGS
from snerv_codec.evaluation.evaluate import evaluate as measure
from snerv_codec.evaluation.rivals import RivalPoint, bytes_at, video_bytes
from snerv_codec.media.source import Selection
from snerv_codec.pages.result import GROUPS
from snerv_codec.training.settings import FitSettings

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A clip of 64x48 in a frame of 72x56, with sound, as a `.snrv` file of its centre, and its page with rivals."""
    folder = tmp_path_factory.mktemp("result")
    source = write_clip(folder / "in.mp4", width=72, height=56, frames=8, sound=True)
    settings = EncodeSettings(
        size="60k",
        device="cpu",
        fit=FitSettings.preset("paper", epochs=3, prune_epochs=1),
        source=Selection(crop=(48, 64)),
    )
    encode(source, folder / "out.snrv", settings)
    command = ["report", str(source), str(folder / "out.snrv"), "--rivals", "--no-vmaf", "--device", "cpu"]
    assert main(command) == 0
    return source, folder / "out.snrv", folder / "out.html"


def test_the_page_says_what_eval_measures(result):
    source, coded, page = result
    text = page.read_text()
    measured = evaluate(source, coded, vmaf=False, device="cpu")
    assert f"{measured.summary['psnr']:.2f} dB" in text
    assert f"{measured.summary['ssim']:.4f}" in text
    psnr = measured.per_frame["psnr"]
    worst = min(range(len(psnr)), key=psnr.__getitem__)
    assert f"{worst}, worst: {psnr[worst]:.2f} dB" in text
    assert f"PSNR (dB): {measured.summary['psnr']:.2f} on average, {psnr[worst]:.2f} at least" in text
    assert "://" not in text
    for part in ("up-sampling blocks", "frame embeddings", "sound and subtitles", "x265, CRF 46", "this file"):
        assert part in text


def test_what_the_bytes_went_into_adds_up(result):
    _, coded, page = result
    table = re.search(r"<th scope=\"col\">part</th>.*?</tbody>", page.read_text(), re.DOTALL)[0]
    sizes = [int(size.replace(",", "")) for size in re.findall(r"<td>([\d,]+)</td>", table)]
    assert sum(sizes) == coded.stat().st_size
    assert len(sizes) >= 6


def test_all_embeddings_are_told_apart_from_the_network():
    assert set(EMBEDDINGS) <= set(GROUPS)


def test_the_crop_is_seen_from_the_file_and_sound_is_told_apart(result):
    source, coded, _ = result
    found = measure(source, coded, vmaf=False, device="cpu")
    given = measure(source, coded, selection=Selection(crop=(48, 64)), vmaf=False, device="cpu")
    assert found.per_frame == given.per_frame
    assert found.source_size == (56, 72)
    assert 0 < found.video_bytes < found.bytes
    assert found.video_bpp == pytest.approx(8 * found.video_bytes / (64 * 48 * 8))


def test_the_rate_of_a_container_leaves_its_sound_out(tmp_path):
    with_sound = write_clip(tmp_path / "a.mp4", width=64, height=48, frames=8, sound=True)
    without = write_clip(tmp_path / "b.mp4", width=64, height=48, frames=8)
    assert video_bytes(with_sound) == video_bytes(without) < without.stat().st_size


def test_bytes_between_two_points_of_a_rival():
    points = [RivalPoint("x264", 40, 1000, 30.0), RivalPoint("x264", 30, 4000, 40.0), RivalPoint("x265", 1, 1, 35.0)]
    assert bytes_at(points, "x264", 35.0) == pytest.approx(2000)
    assert bytes_at(points, "x264", 30.0) == pytest.approx(1000)
    assert bytes_at(points, "x264", 41.0) is None
    assert bytes_at(points, "x264", 29.0) is None
    assert bytes_at(points, "x265", 35.0) is None


def test_a_page_replaces_nothing_unasked_and_needs_a_file(result, capsys):
    source, coded, page = result
    before = page.read_bytes()
    for arguments, code, message in (
        ([source, coded], 1, "out.html: exists already; use --overwrite"),
        ([source, coded, "-o", coded, "--overwrite"], 1, "is the input"),
        (["-", coded], 2, "give a file"),
    ):
        assert main(["report", *map(str, arguments)]) == code
        assert message in capsys.readouterr().err
    assert page.read_bytes() == before


@pytest.mark.parametrize("side", [33, 1200])
def test_odd_and_large_frames_have_a_clip_too(side, tmp_path):
    from snerv_codec.pages.result import _scaled, _shown_size

    picture = moving_picture(1, 34, side)[0]
    height, width = _shown_size(picture)
    scaled = _scaled(picture, (height, width))
    assert scaled.shape == (height, width, 3)
    assert height % 2 == width % 2 == 0
    assert max(height, width) <= 960
    assert abs(float(scaled.mean()) - float(picture.mean())) < 3


@functools.cache
def browser_path():
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, where there is one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="looking at pages needs playwright (extra `dev`)")
    if browser_path() is None:
        pytest.skip(f"looking at pages needs a browser: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, result):
    """Opens the page in a window of a width and a colour scheme; at its end nothing must have gone wrong in it."""
    pages, problems = [], []

    def open_page(width, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else problems.append(r.url))
        page.goto(result[2].as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_wide_and_narrow_light_and_dark(width, scheme, visit):
    page = visit(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (np.mean(brightness) > 200) == (scheme == "light")
    shown = page.evaluate("[...document.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().width).length")
    assert shown == len(page.query_selector_all("svg")) // 2  # of each drawing the one for this width
    sizes = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
    assert set(map(tuple, sizes)) == {(64, 48)}


def test_the_keyboard_moves_the_border_and_chooses_frames(visit):
    page = visit(1400)
    slider = page.locator(".stage input").first
    slider.focus()
    page.keyboard.press("Home")
    assert page.evaluate("document.querySelector('.stage').style.getPropertyValue('--at')") == "0%"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('.stage').style.getPropertyValue('--at')") == "1%"
    stages = page.locator("div:has(> .picks) > .stage")
    assert [stages.nth(i).is_visible() for i in range(2)] == [True, False]
    page.locator(".picks input").first.focus()
    page.keyboard.press("ArrowDown")
    assert [stages.nth(i).is_visible() for i in range(2)] == [False, True]


def test_the_mouse_moves_the_border(visit):
    page = visit(1400)
    box = page.locator(".stage").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    at = page.evaluate("parseFloat(document.querySelector('.stage').style.getPropertyValue('--at'))")
    assert 80 < at <= 100


def test_the_clip_plays_where_the_browser_can(visit):
    page = visit(1400)
    if not page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64001f\"')"):
        pytest.skip("this browser plays no H.264")
    page.wait_for_selector(".clip:not([hidden])")
    page.locator(".clip button").click()
    page.wait_for_function("document.querySelector('.clip video').currentTime > 0.05")
    assert page.locator(".clip button").inner_text() == "Pause"
    colors = page.evaluate(
        "[...document.querySelectorAll('.clip canvas')].map(c => [...c.getContext('2d').getImageData(9, 9, 1, 1).data])"
    )
    assert all(alpha == 255 for *_, alpha in colors)
    page.locator(".clip button").click()
    page.wait_for_function("document.querySelector('.clip video').paused")
