"""The main path: a video to a file, and the file alone to the video."""

import errno
import os
import subprocess
import sys
import weakref
import zlib
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import packets, write_clip
from conftest import QUICK

from snerv_codec import Decoder, decode, decoding, encode
from snerv_codec.bitstream.container import StreamFile, read_header
from snerv_codec.codec import differing_frames
from snerv_codec.encoding.planning import plan
from snerv_codec.errors import OutputError, ResourceError, SettingsError
from snerv_codec.evaluation.metrics import psnr
from snerv_codec.events import EpochDone, Warned
from snerv_codec.media.reader import read_video
from snerv_codec.media.source import Selection
from snerv_codec.rate_control.targets import Target
from snerv_codec.training.settings import FitSettings


def test_the_report_is_of_the_file_on_disk(clip, encoded):
    path, report = encoded
    frames = read_video(clip).frames
    assert report.bytes_total == path.stat().st_size
    assert report.bpp == pytest.approx(8 * path.stat().st_size / (34 * 18 * 6))
    with Decoder(path, device="cpu") as decoder:
        assert report.quality.psnr == pytest.approx(np.mean([psnr(a, b) for a, b in zip(frames, decoder, strict=True)]))
    assert report.quality.ms_ssim is None  # too small for it
    assert 0 < report.bytes_tracks < report.bytes_total


@pytest.mark.parametrize(("width", "height", "frames"), [(16, 16, 1), (17, 33, 2), (33, 17, 3), (176, 144, 2)])
def test_any_size_and_count_comes_back(tmp_path, width, height, frames):
    source = write_clip(tmp_path / "in.mkv", width=width, height=height, frames=frames)
    report = encode(source, tmp_path / "out.snrv", replace(QUICK, size="60k"))
    decoded = decode(tmp_path / "out.snrv", tmp_path / "again.mkv", device="cpu")
    assert decoded.frames == report.frames == frames
    again = read_video(tmp_path / "again.mkv")
    assert again.frames.shape == (frames, height, width, 3)
    assert again.info.duration == read_video(source).info.duration
    with Decoder(tmp_path / "out.snrv", device="cpu") as decoder:
        assert np.array_equal(again.frames, decoder[:])


@pytest.mark.slow
def test_a_longer_fit_beats_the_best_still_picture(clip, tmp_path):
    frames = read_video(clip).frames
    still = np.rint(frames.mean(axis=0)).astype(np.uint8)
    settings = replace(QUICK, fit=FitSettings.preset("paper", epochs=20, prune_epochs=3, optimizer="muon"))
    report = encode(clip, tmp_path / "out.snrv", settings)
    assert report.quality.psnr > np.mean([psnr(frame, still) for frame in frames]) + 1
    assert report.quality.psnr == pytest.approx(report.pruned_psnr, abs=0.5)


def test_grids_of_sixteen_bits_lose_nothing_of_the_fit(clip, tmp_path):
    fit = replace(QUICK.fit, weight_bits=16, embed_bits=16)
    report = encode(clip, tmp_path / "out.snrv", replace(QUICK, fit=fit))
    assert report.quality.psnr == pytest.approx(report.pruned_psnr, abs=0.01)


@pytest.mark.slow
def test_rounding_by_rate_and_distortion_takes_fewer_bytes_for_the_same_frames(clip, tmp_path):
    fit = FitSettings.preset("paper", epochs=8, prune_epochs=1, learning_rate=3e-3, weight_bits=6)
    plain, rdo = (
        encode(clip, tmp_path / f"{name}.snrv", replace(QUICK, rounding=name, fit=fit)) for name in ("plain", "rdo")
    )
    assert rdo.pruned_psnr == plain.pruned_psnr  # one fit, rounded twice
    assert rdo.bytes_symbols < 0.95 * plain.bytes_symbols
    assert rdo.quality.psnr > plain.quality.psnr - 0.5


def test_rounding_by_rate_and_distortion_is_for_the_papers_recipe_and_our_coder():
    for other in ({"entropy": "nnc"}, {"fit": FitSettings.preset("paper", recipe="rd")}):
        with pytest.raises(SettingsError, match="rounding rdo takes `recipe` paper"):
            replace(QUICK, rounding="rdo", **other)


def test_training_for_rate_takes_fewer_bytes_and_knows_how_many(clip, encoded, tmp_path):
    reports = {}
    for weight in (0, 1):
        fit = FitSettings.preset("paper", recipe="rd", epochs=2, grid_epochs=8, learning_rate=3e-3, rate_weight=weight)
        reports[weight] = encode(clip, tmp_path / f"{weight}.snrv", replace(QUICK, fit=fit))
    free, dear = reports[0], reports[1]
    assert dear.bytes_symbols < 0.85 * free.bytes_symbols
    for report in (free, dear):
        assert report.bytes_symbols == pytest.approx(report.estimated_bytes, rel=0.02)
    assert encoded[1].estimated_bytes is None  # not trained for rate


def test_hinerv_recipe_codes_weights_in_six_bits(clip, tmp_path):
    fit = FitSettings.preset("paper", recipe="hinerv", epochs=5, learning_rate=3e-3)
    encode(clip, tmp_path / "out.snrv", replace(QUICK, fit=fit))
    with StreamFile(tmp_path / "out.snrv") as file:
        tensors = file.read_segment(0).tensors
    assert max(tensor.bits for tensor in tensors) == 6
    weights = [tensor for tensor in tensors if len(tensor.shape) > 1]
    zeros = sum(int((tensor.symbols == 32).sum()) for tensor in weights if tensor.bits == 6)
    assert zeros > 0.15 * sum(tensor.symbols.size for tensor in weights)


def test_grids_that_training_makes_are_for_the_range_coder():
    with pytest.raises(SettingsError, match="grids of its own"):
        replace(QUICK, entropy="nnc", fit=FitSettings.preset("paper", recipe="rd"))


def test_a_decoded_mp4_has_the_sound_and_the_times(clip, coded, tmp_path):
    decode(coded, tmp_path / "again.mp4", device="cpu")
    assert packets(tmp_path / "again.mp4", "audio") == packets(clip, "audio")
    before, after = read_video(clip).info, read_video(tmp_path / "again.mp4").info
    times, again = ([time * info.time_base for time in info.timestamps] for info in (before, after))
    assert times == again
    assert before.rate == after.rate


def test_frames_are_the_same_in_any_order_and_slice(coded):
    with Decoder(coded, device="cpu") as decoder:
        whole = np.stack(list(decoder))
        assert whole.shape == (6, 18, 34, 3)
        assert whole.dtype == np.uint8
        assert len(decoder) == 6
        assert np.array_equal(decoder[1:5:2], whole[1:5:2])
        assert np.array_equal(decoder[::-1], whole[::-1])
        assert np.array_equal(decoder[-1], whole[5])
        assert decoder[3:3].shape == (0, 18, 34, 3)
        with pytest.raises(IndexError, match="frame 6 is not in a video of 6"):
            decoder[6]
    for number in (4, 0, 2):
        with Decoder(coded, device="cpu", batch=3) as decoder:
            assert np.array_equal(decoder[number], whole[number])


def test_a_fresh_process_decodes_what_the_encoder_saw(coded):
    script = (
        "import sys, zlib; from snerv_codec import Decoder\n"
        "print([zlib.crc32(frame.data) for frame in Decoder(sys.argv[1], device='cpu')])\n"
        "print('snerv_codec.training' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(coded)], capture_output=True, text=True, check=True)
    with Decoder(coded, device="cpu") as decoder:
        expected = decoder.checksums()
        assert [zlib.crc32(frame.data) for frame in decoder] == list(expected)
    assert done.stdout.splitlines() == [f"{list(expected)}", "False"]  # decoding loads no training
    assert differing_frames(coded, device="cpu") == []


def test_some_frames_are_decoded_with_their_sound(coded, tmp_path):
    report = decode(coded, tmp_path / "part.mkv", frames=(2, 5), device="cpu")
    assert report.frames == 3
    part = read_video(tmp_path / "part.mkv")
    with Decoder(coded, device="cpu") as decoder:
        assert np.array_equal(part.frames, decoder[2:5])
    times = [time * part.info.time_base for time in part.info.timestamps]
    assert [time - times[0] for time in times] == [0, Fraction(1, 25), Fraction(2, 25)]
    assert times[0] < Fraction(1, 10)  # after the packet that the sound starts cleanly with
    assert 0 < len(packets(tmp_path / "part.mkv", "audio")) < len(packets(coded_source(coded, tmp_path), "audio"))
    with pytest.raises(SettingsError, match="frames 2:9 are not in a video of 6 frames"):
        decode(coded, tmp_path / "more.mkv", frames=(2, 9))


def test_some_frames_cost_no_more_than_they_are(coded, tmp_path, monkeypatch):
    computed, forward = [], decoding.SegmentPlayer._compute

    def counting(self, rows, **options):
        computed.extend(rows.tolist())
        return forward(self, rows, **options)

    monkeypatch.setattr(decoding.SegmentPlayer, "_compute", counting)
    decode(coded, tmp_path / "part.mkv", frames=(2, 5), device="cpu")
    assert computed == [2, 3, 4]


class Weigher:
    """A writer that sees how many bytes of the frames it was given are still held."""

    def __init__(self):
        self.warnings, self.most, self._given = [], 0, []

    def write(self, frame):
        self._given.append(weakref.ref(frame if frame.base is None else frame.base))
        held = {id(array): array.nbytes for given in self._given if (array := given()) is not None}
        self.most = max(self.most, sum(held.values()))


def test_decoding_holds_no_more_than_two_frames(coded, tmp_path, monkeypatch):
    weigher = Weigher()
    monkeypatch.setattr("snerv_codec.codec.open_writer", lambda *args, **options: nullcontext(weigher))
    assert decode(coded, tmp_path / "out.mkv", device="cpu").frames == 6
    assert 34 * 18 * 3 <= weigher.most <= 2 * 34 * 18 * 3


def coded_source(coded, folder):
    decode(coded, folder / "whole.mkv", device="cpu")
    return folder / "whole.mkv"


class Watcher:
    """Collects events, and interrupts after some epochs."""

    def __init__(self, stop_after=None):
        self.events, self.stop_after = [], stop_after

    def __call__(self, event):
        self.events.append(event)
        if len(self.epochs) == self.stop_after:
            raise KeyboardInterrupt

    @property
    def epochs(self):
        return [event for event in self.events if isinstance(event, EpochDone)]


def test_an_interrupted_encode_goes_on_to_the_very_same_file(clip, coded, tmp_path):
    output = tmp_path / "out.snrv"
    with pytest.raises(KeyboardInterrupt):
        encode(clip, output, QUICK, on_event=Watcher(stop_after=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.snrv.work"]
    with pytest.raises(OutputError, match="interrupted run; use `resume`"):
        encode(clip, output, QUICK)
    with pytest.raises(SettingsError, match="differs in seed"):
        encode(clip, output, replace(QUICK, fit=replace(QUICK.fit, seed=5)), resume=True)
    watcher = Watcher()
    encode(clip, output, QUICK, resume=True, on_event=watcher)
    assert [(e.phase, e.epoch) for e in watcher.epochs] == [("fit", 3), ("prune", 1)]
    assert output.read_bytes() == coded.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.snrv"]


def test_two_encodes_to_one_output_do_not_meet(clip, coded, tmp_path):
    output, refused = tmp_path / "out.snrv", []

    def encode_too(event):
        if isinstance(event, EpochDone):
            with pytest.raises(OutputError, match="another encode to the same output is at work"):
                encode(clip, output, QUICK, overwrite=True)
            refused.append(event.epoch)

    encode(clip, output, QUICK, on_event=encode_too)
    assert len(refused) == 4
    assert output.read_bytes() == coded.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.snrv"]


def test_an_output_that_cannot_be_locked_is_encoded_all_the_same(clip, coded, tmp_path, monkeypatch):
    def unsupported(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", unsupported)
    encode(clip, tmp_path / "out.snrv", QUICK)
    assert (tmp_path / "out.snrv").read_bytes() == coded.read_bytes()


def test_a_state_of_another_version_is_told_as_such(clip, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        encode(clip, tmp_path / "out.snrv", QUICK, on_event=Watcher(stop_after=2))
    monkeypatch.setattr("snerv_codec.training.state.STATE_LAYOUT", 99)
    with pytest.raises(SettingsError, match="another version of snerv-codec; delete the directory"):
        encode(clip, tmp_path / "out.snrv", QUICK, resume=True)


def test_a_target_that_the_sound_fills_is_told_before_the_fit(clip, tmp_path):
    fit, watcher = FitSettings.preset("paper", recipe="rd", epochs=1), Watcher()
    with pytest.raises(SettingsError, match="besides sound, times and headers the target leaves 0 bytes"):
        encode(clip, tmp_path / "out.snrv", replace(QUICK, fit=fit, target=Target("size", 2_500)), on_event=watcher)
    assert not watcher.epochs


def test_a_state_that_cannot_be_kept_is_told_before_the_first_epoch(clip, tmp_path):
    (tmp_path / "out.snrv.work").write_text("not a folder")
    watcher = Watcher()
    with pytest.raises(OutputError, match=r"out.snrv.work: the state of the fit cannot be saved there: File exists"):
        encode(clip, tmp_path / "out.snrv", QUICK, on_event=watcher)
    assert not watcher.epochs


def test_resuming_nothing_starts_with_a_word_and_overwriting_drops_what_was_left(clip, coded, tmp_path):
    output = tmp_path / "out.snrv"
    watcher = Watcher(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        encode(clip, output, QUICK, resume=True, on_event=watcher)
    assert any(isinstance(e, Warned) and "starting from the beginning" in e.message for e in watcher.events)
    watcher = Watcher()
    encode(clip, output, QUICK, overwrite=True, on_event=watcher)
    assert len(watcher.epochs) == 4
    assert output.read_bytes() == coded.read_bytes()


def test_an_output_is_never_harmed_by_a_failure(clip, tmp_path, monkeypatch):
    output = tmp_path / "out.snrv"
    output.write_bytes(b"older")
    with pytest.raises(OutputError, match="exists already; use `overwrite`"):
        encode(clip, output, QUICK)
    with pytest.raises(OutputError, match="is the input"):
        encode(clip, clip, QUICK, overwrite=True)

    def full(writing):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("snerv_codec.runtime.files.os.fsync", full)  # the checkpoint's too: the same function
        with pytest.raises(OutputError, match="No space left on device"):
            encode(clip, output, QUICK, overwrite=True)
    monkeypatch.setattr("snerv_codec.codec.StreamWriter.finish", full)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        encode(clip, output, QUICK, overwrite=True)
    assert output.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.snrv"]


def test_a_failing_decode_leaves_nothing(coded, tmp_path):
    damaged = bytearray(coded.read_bytes())
    with Decoder(coded) as decoder:
        segment = next(s for s in read_header(coded).sections if s.name == "SEGM")
        assert len(decoder) == 6
    damaged[segment.offset + 200] ^= 1
    (tmp_path / "bad.snrv").write_bytes(damaged)
    with pytest.raises(Exception, match=r"bad\.snrv: the checksum of section SEGM"):
        decode(tmp_path / "bad.snrv", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.snrv"]


def test_what_memory_cannot_hold_is_refused_before_the_work(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("snerv_codec.runtime.machine.available_memory", lambda device=None: 1000)
    with pytest.raises(ResourceError, match="fitting needs about .* lower `size` or `batch`"):
        encode(clip, tmp_path / "out.snrv", QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_selection_is_what_gets_encoded(clip, tmp_path):
    settings = replace(QUICK, source=Selection(crop=(16, 20), frames=(1, 4)))
    report = encode(clip, tmp_path / "out.snrv", settings)
    assert report.frames == 3
    with Decoder(tmp_path / "out.snrv", device="cpu") as decoder:
        assert decoder[0].shape == (16, 20, 3)


@pytest.mark.parametrize(
    "target", [Target("size", 14_000), Target("size", 26_000), Target("bitrate", 700_000), Target("bpp", 45)]
)
def test_a_target_is_met_from_below(clip, tmp_path, target):
    fit = FitSettings.preset("paper", recipe="rd", epochs=2, grid_epochs=6, learning_rate=3e-3)
    report = encode(clip, tmp_path / "out.snrv", replace(QUICK, fit=fit, target=target))
    limit = target.bytes(read_header(tmp_path / "out.snrv").video)
    assert 0.95 * limit <= report.bytes_total <= limit
    assert report.bytes_total == (tmp_path / "out.snrv").stat().st_size
    if target.kind == "bpp":
        assert report.bpp <= target.value


def test_a_target_chooses_the_architecture_and_one_that_is_too_small_says_so(clip, tmp_path):
    fit = FitSettings.preset("paper", recipe="rd", epochs=1, grid_epochs=1)
    small, large = (replace(QUICK, size=None, fit=fit, target=Target("size", n)) for n in (30_000, 60_000))
    assert plan(clip, large).decoder_parameters > 1.5 * plan(clip, small).decoder_parameters
    assert plan(clip, large).predicted_bytes == 60_000
    with pytest.raises(
        SettingsError, match="for the model of 6 frames, which after so few epochs still takes .* raise `epochs`"
    ):
        encode(clip, tmp_path / "out.snrv", replace(QUICK, fit=fit, target=Target("size", 9_500)))
    with pytest.raises(SettingsError, match="leaves 500 bytes, 0.* bits .* values, too few for any picture"):
        plan(clip, replace(QUICK, fit=fit, target=Target("size", 500)))
    with pytest.raises(SettingsError, match="takes `recipe` rd"):
        replace(QUICK, target=Target("size", 1000))
    with pytest.raises(SettingsError, match="not a positive number"):
        Target("bpp", 0)


def test_sixteen_bits_show_in_no_pixel_by_more_than_one(coded):
    with Decoder(coded, device="cpu") as exact, Decoder(coded, device="cpu", precision="float16") as half:
        difference = np.abs(exact[:].astype(int) - half[:])
    assert 0 < difference.max() <= 1


@pytest.mark.needs_cuda
def test_a_gpu_shows_what_a_cpu_does_whatever_its_batch(coded):
    with Decoder(coded, device="cpu") as cpu:
        expected = cpu[:].astype(int)
    for precision in ("auto", "float32"):
        for batch in (1, 4, 5):
            with Decoder(coded, device="cuda", precision=precision, batch=batch) as gpu:
                np.testing.assert_array_less(np.abs(expected - gpu[:]), 2)
                assert np.array_equal(gpu[-1], gpu[len(gpu) - 1])
