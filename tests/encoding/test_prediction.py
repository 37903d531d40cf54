"""What is foretold of an encode: a size where nobody gives one, the bytes and the time; and when it is asked twice."""

import json
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from clips import write_clip

from snerv_codec import EncodeSettings, SettingsError, encode, plan
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.cli import encode as command
from snerv_codec.cli.main import main
from snerv_codec.cli.render import larger, size
from snerv_codec.encoding.pace import Pace
from snerv_codec.encoding.prediction import MEASURE_TIME, predicted_bytes, predicted_seconds
from snerv_codec.events import Planned, Warned
from snerv_codec.media.reader import read_video
from snerv_codec.rate_control.budget import suiting_size, wanted_psnr
from snerv_codec.rate_control.targets import Target

QUICK = ("--size", "40k", "--epochs", "1", "--prune-epochs", "0", "--device", "cpu")


def video(width, height, frames):
    times = tuple(range(frames))
    return VideoInfo(
        width=width, height=height, time_base=Fraction(1, 25), timestamps=times, final_duration=1, rate=Fraction(25)
    )


SMALL, BUNNY, FILM = video(384, 192, 33), video(1280, 640, 132), video(1920, 1080, 600)


def test_a_size_grows_with_the_pixels_but_not_as_fast():
    sizes = [suiting_size(info, EncodeSettings.of()) for info in (SMALL, BUNNY, FILM)]
    assert sizes == sorted(sizes)
    assert 100_000 < sizes[0] < 250_000
    assert sizes[2] < 10_000_000
    pixels = [info.width * info.height * info.frame_count for info in (SMALL, FILM)]
    assert sizes[2] / sizes[0] < pixels[1] / pixels[0] / 5


def test_a_higher_quality_takes_more_parameters_and_more_bytes():
    plans = [EncodeSettings.of(target_psnr=goal) for goal in (20, 30, 34, 45)]
    sizes = [suiting_size(SMALL, settings) for settings in plans]
    assert sizes == sorted(set(sizes))
    taken = [predicted_bytes(200_000, 4_000, SMALL, (), settings) for settings in plans]
    assert taken == sorted(taken)
    assert taken[-1] > 2 * taken[0]


@pytest.mark.parametrize(
    ("size", "taken"),  # what rate-distortion records hold: recipe rd, 60 epochs, `bunny-small` and `bikes-small`
    [
        (110_000, (66_476, 59_512)),
        (160_000, (87_836, 77_541)),
        (240_000, (118_603, 101_158)),
        (350_000, (171_192, 136_193)),
    ],
)
def test_bytes_of_training_for_rate_are_those_on_record(size, taken):
    settings = EncodeSettings.of(model="b", size=size, recipe="rd")
    foretold = predicted_bytes(size - 4_290, 4_290, SMALL, (), settings)
    for measured in taken:
        assert foretold == pytest.approx(measured, rel=0.2)


def test_a_weight_on_the_rate_takes_bytes_off():
    weights = (EncodeSettings.of(model="b", size=350_000, recipe="rd", rate_weight=weight) for weight in (0.01, 0.02))
    plain, heavy = (predicted_bytes(350_000, 0, SMALL, (), settings) for settings in weights)
    assert heavy / plain == pytest.approx(119_152 / 171_192, rel=0.2)  # on record


@pytest.mark.parametrize(
    ("model", "info", "weights", "embeddings", "rate_weight", "measured", "canvas"),
    [
        ("b", SMALL, 110_242, 4290, 0.01, 66_476, 0),
        ("b", video(192, 96, 33), 74_016, 4290, 0.01, 44_293, 0),
        ("pixel", SMALL, 65_604, 42_240, 0.01, 41_796, 0),
        ("pixel", video(384, 192, 132), 91_449, 67_584, 0.01, 56_073, 0),
        ("pixel", video(192, 96, 33), 64_454, 16_896, 0.004, 41_298, 0),
        ("canvas", SMALL, 45_439, 29_568, 0.004, 33_360, 9_216),
        ("canvas", SMALL, 66_080, 42_240, 0.004, 46_483, 13_824),
        ("canvas", SMALL, 92_456, 63_360, 0.004, 66_149, 18_432),
        ("sprite", SMALL, 98_812, 25_608, 0.004, 27_047, 73_728),
        ("sprite", SMALL, 131_772, 25_608, 0.004, 59_189, 73_728),
        ("sprite", SMALL, 216_142, 25_608, 0.004, 100_313, 73_728),
    ],
)
def test_what_was_measured_would_have_been_foretold(model, info, weights, embeddings, rate_weight, measured, canvas):
    """Files on record in benchmarks/results, trained for rate."""
    settings = EncodeSettings.of(size=weights, model=model, recipe="rd", rate_weight=rate_weight)
    foretold = predicted_bytes(weights, embeddings, info, (), settings, canvas=canvas)
    assert foretold == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(
    ("vmaf", "measured"),  # what fits of `bikes-small`, `bunny-small` and `bunny-tiny` on record came to
    [(71.7, 29.2), (79.4, 31.1), (83.8, 32.4), (78.9, 29.4), (87.1, 32.1), (80.0, 29.6), (90.4, 33.1)],
)
def test_a_target_of_vmaf_stands_for_the_psnr_that_came_with_it(vmaf, measured):
    assert wanted_psnr(Target("vmaf", vmaf)) == pytest.approx(measured, abs=1.5)


def test_a_higher_vmaf_takes_more_parameters_and_more_bytes():
    plans = [EncodeSettings.of(target_vmaf=goal) for goal in (60, 75, 90, 97)]
    sizes = [suiting_size(SMALL, settings) for settings in plans]
    assert sizes == sorted(set(sizes))
    taken = [predicted_bytes(200_000, 4_000, SMALL, (), settings) for settings in plans]
    assert taken == sorted(taken)
    assert taken[-1] > 2 * taken[0]


def test_a_video_in_segments_takes_as_much_as_its_segments():
    settings = EncodeSettings.of(size=240_000, recipe="rd")
    whole = predicted_bytes(240_000, 8_000, video(384, 192, 66), (), settings, segments=2)
    assert whole == pytest.approx(2 * predicted_bytes(120_000, 4_000, SMALL, (), settings), rel=1e-4)


PACE = Pace(plain=0.1, grids=0.14, own=0.09)


def test_time_counts_epochs_on_grids_and_each_look_at_the_frames():
    paper, rd = (EncodeSettings.of(size=1, epochs=100, recipe=recipe) for recipe in ("paper", "rd"))
    look = 33 * 0.1 * MEASURE_TIME
    assert predicted_seconds([33], paper, PACE) == pytest.approx(110 * 33 * 0.1 + 4 * look)
    assert predicted_seconds([33], rd, PACE) == pytest.approx(33 * (5 * 0.1 + 19 * 0.14 + 76 * 0.09) + 4 * look)
    looked_at = EncodeSettings.of(size=1, epochs=100, target_psnr=34)
    assert predicted_seconds([33], looked_at, PACE) > predicted_seconds([33], rd, PACE) + 95 * look


def test_a_short_training_for_rate_has_not_come_to_its_bits_yet():
    lengths = [EncodeSettings.of(size=1, recipe="rd", epochs=epochs) for epochs in (1, 3, 10, 30, 300)]
    taken = [predicted_bytes(100_000, 4_000, SMALL, (), settings) for settings in lengths]
    assert taken == sorted(taken, reverse=True)
    assert taken[0] > 1.2 * taken[-1]


@pytest.mark.parametrize(
    ("frames", "epochs", "measured"),  # of fits of 60,000 parameters at 96x192
    [(16, 1, 43_324), (8, 6, 40_332), (16, 6, 43_231), (16, 25, 36_436), (16, 50, 33_514)],
)
def test_bytes_of_short_fits_are_foretold_too(frames, epochs, measured):
    settings = EncodeSettings.of(model="b", size=60_000, recipe="rd", epochs=epochs)
    foretold = predicted_bytes(60_000 - 130 * frames, 130 * frames, video(192, 96, frames), (), settings)
    assert foretold == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(("goal", "epochs", "measured"), [(20, 6, 58_883), (32, 4, 62_147), (24, 40, 10_427)])
def test_bytes_of_a_target_of_quality_follow_what_so_many_steps_can_reach(goal, epochs, measured):
    settings = EncodeSettings.of(model="b", size=60_000, target_psnr=goal, epochs=epochs)
    foretold = predicted_bytes(56_165, 1_040, video(192, 96, 8), (), settings)
    assert foretold == pytest.approx(measured, rel=0.2)


AFTER = 40 * 0.1 * MEASURE_TIME  # the whole file is measured by one process


def test_workers_share_the_time_but_for_what_is_chained():
    plain = EncodeSettings.of(size=1, epochs=10, recipe="paper")
    alone = predicted_seconds([10, 10, 10, 10], plain, PACE)
    shared = pytest.approx((alone + AFTER) / 2)
    assert predicted_seconds([10, 10, 10, 10], plain, PACE, 2) == shared
    assert predicted_seconds([10, 10, 10, 10], plain, PACE, 3) == shared  # one of them fits two
    assert predicted_seconds([40], plain, PACE, 2) == pytest.approx(alone)  # a chain is fitted in order


def test_sound_and_the_inputs_own_size_are_counted(tmp_path):
    with_sound = write_clip(tmp_path / "a.mp4", width=34, height=18, frames=50, sound=True)
    loud, silent = (plan(with_sound, size=60_000, device="cpu", audio=audio) for audio in (True, False))
    sound = sum(len(p.data) for track in read_video(with_sound).tracks for p in track.packets)
    assert loud.predicted_bytes - silent.predicted_bytes == loud.track_bytes == sound > 1000
    assert loud.input_bytes == with_sound.stat().st_size
    assert loud.predicted_share == loud.predicted_bytes / loud.input_bytes


def test_a_file_is_about_as_large_as_foretold(clip, tmp_path):
    plans = []
    report = encode(
        clip,
        tmp_path / "out.snrv",
        size=200_000,
        epochs=2,
        device="cpu",
        on_event=lambda event: plans.append(event.plan) if isinstance(event, Planned) else None,
    )
    assert plans[0].predicted_bytes == pytest.approx(report.bytes_total, rel=0.2)
    assert plans[0].predicted_seconds > 0
    assert plans[0].size_given


def test_without_a_size_the_video_decides_and_the_plan_says_so(clip, capsys):
    assert main(["encode", str(clip), "--dry-run", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "recipe rd" in text
    assert "parameters suit so many pixels" in text
    assert main(["encode", str(clip), "--dry-run", "--device", "cpu", "--size", "3M"]) == 0
    text = capsys.readouterr().out
    assert "recipe paper" in text
    assert "suit" not in text


@pytest.fixture
def doubtful(clip):
    return replace(plan(clip, device="cpu"), predicted_share=20.0, predicted_seconds=9e5)


def test_what_is_hardly_meant_needs_force_at_a_terminal_and_is_told_elsewhere(doubtful, monkeypatch):
    told = []
    command.think_twice(doubtful, told.append)
    assert told == [
        Warned(
            "the file is predicted 20.0 times as large as the input's "
            f"{size(doubtful.input_bytes)}; lower --size; this takes about 250.0 h; "
            "--size, --epochs or --preset fast take less"
        )
    ]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with pytest.raises(SettingsError, match="20.0 times as large.*encode it all the same with --force"):
        command.think_twice(doubtful, told.append)
    command.think_twice(replace(doubtful, predicted_share=0.2, size_given=True), told.append)  # hours were asked for
    command.think_twice(replace(doubtful, predicted_share=None, predicted_seconds=5.0), told.append)
    assert len(told) == 1


@pytest.mark.parametrize(("share", "told"), [(1.002, "1 % larger"), (1.02, "2 % larger"), (2.4, "2.4 times as large")])
def test_a_file_is_told_by_how_much_it_is_larger(doubtful, share, told):
    assert told.replace(" %", "%") in larger(replace(doubtful, predicted_share=share))


def test_what_a_part_gives_is_held_against_what_the_part_takes(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", width=64, height=48, frames=20)
    whole = plan(clip, size=60_000, device="cpu")
    part = plan(clip, size=60_000, device="cpu", frames=(5, 10))
    cropped = plan(clip, size=60_000, device="cpu", crop=(24, 32))
    assert whole.selected_bytes == whole.input_bytes == part.input_bytes
    assert part.selected_bytes == part.input_bytes // 4
    assert cropped.selected_bytes == cropped.input_bytes // 4
    assert part.predicted_share == part.predicted_bytes / part.selected_bytes
    assert "that the selected part takes of the input's" in larger(replace(part, predicted_share=3.0))


def test_a_doubtful_encode_leaves_nothing_behind(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    out = tmp_path / "out.snrv"
    assert main(["encode", str(clip), "-o", str(out), *QUICK, "--json"]) == 1
    assert "--force" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main(["encode", str(clip), "-o", str(out), *QUICK, "--json", "--force"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["plan", "epoch", "done"]
    assert {"predicted_seconds", "predicted_bytes", "predicted_share", "input_bytes"} <= events[0].keys()
