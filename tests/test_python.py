"""The Python surface as its users know it from other libraries: frames by number and by time, arrays in and out."""

import io
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from clips import moving_picture

import snerv_codec
from snerv_codec import (
    BitstreamError,
    Decoder,
    EncodeSettings,
    FitSettings,
    InputError,
    Selection,
    SettingsError,
    Target,
    decode,
    encode,
    plan,
)
from snerv_codec.bitstream.types import VideoInfo
from snerv_codec.frames import Timeline
from snerv_codec.media.reader import read_video

QUICK: dict[str, Any] = {"size": 40_000, "epochs": 1, "prune_epochs": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def decoder(coded):
    with Decoder(coded, device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def frames(decoder):
    return decoder[:]


# What programs may rely on. A name that goes, or changes its meaning, is a line in CHANGELOG.md.
FUNCTIONS = {"decode", "encode", "evaluate", "join", "plan", "split"}
SETTINGS = {"EncodeSettings", "FitSettings", "Selection", "Target"}
RESULTS = {"DecodeReport", "EncodeReport", "Evaluation", "Plan"}
DECODING = {"Decoder", "Frame", "FrameBatch", "VideoMetadata"}
ERRORS = {"BitstreamError", "InputError", "OutputError", "ResourceError", "SettingsError", "UserError"}
BY_INDEX = {"get_frame_at", "get_frames_at", "get_frames_in_range"}
BESIDES = {"checksums", "close", "extras", "frames", "info", "metadata", "require_memory", "tracks", "tracks_memory"}
BY_TIME = {"get_frame_played_at", "get_frames_played_at", "get_frames_played_in_range"}


def test_the_public_names_are_these():
    assert set(snerv_codec.__all__) == {"__version__"} | FUNCTIONS | SETTINGS | RESULTS | DECODING | ERRORS
    methods = {name for name in dir(snerv_codec.Decoder) if not name.startswith("_")}
    assert methods == BY_INDEX | BY_TIME | BESIDES
    assert all(issubclass(getattr(snerv_codec, name), Exception) for name in ERRORS)


def test_every_public_name_can_be_had():
    for name in snerv_codec.__all__:
        assert getattr(snerv_codec, name) is not None
    assert set(dir(snerv_codec)) == set(snerv_codec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        snerv_codec.nonsense  # noqa: B018


def test_frames_by_number_come_with_their_times(decoder, frames):
    frame = decoder.get_frame_at(-1)
    assert np.array_equal(frame.data, frames[5])
    assert (frame.pts_seconds, frame.duration_seconds) == pytest.approx((5 / 25, 1 / 25))
    data, start, duration = frame
    assert data is frame.data
    assert (start, duration) == (frame.pts_seconds, frame.duration_seconds)
    batch = decoder.get_frames_at([4, 0, 4, -6])
    assert np.array_equal(batch.data, frames[[4, 0, 4, 0]])
    assert batch.pts_seconds == pytest.approx([4 / 25, 0, 4 / 25, 0])
    assert len(batch) == 4
    assert np.array_equal(batch[1].data, frames[0])
    assert np.array_equal(decoder.get_frames_in_range(1, 6, 2).data, frames[1:6:2])
    assert decoder.get_frames_at([]).data.shape == (0, 18, 34, 3)
    assert repr(batch).startswith("FrameBatch(data=(4, 18, 34, 3), pts_seconds=")


def test_frames_by_time(decoder, frames):
    assert np.array_equal(decoder.get_frame_played_at(0.0).data, frames[0])
    assert np.array_equal(decoder.get_frame_played_at(0.0799).data, frames[1])
    assert np.array_equal(decoder.get_frame_played_at(0.0801).data, frames[2])
    assert np.array_equal(decoder.get_frames_played_at([0.21, 0.01]).data, frames[[5, 0]])
    assert np.array_equal(decoder.get_frames_played_in_range(0.05, 0.13).data, frames[1:4])
    assert len(decoder.get_frames_played_in_range(0.1, 0.1)) == 0
    assert len(decoder.get_frames_played_in_range(0, decoder.metadata.end_stream_seconds)) == 6
    for seconds in (-0.01, 0.24, 10, float("nan")):
        with pytest.raises(IndexError, match="nothing is shown at"):
            decoder.get_frame_played_at(seconds)
    with pytest.raises(IndexError, match="not all of the video"):
        decoder.get_frames_played_in_range(0, 1)
    with pytest.raises(ValueError, match="the end comes before the start"):
        decoder.get_frames_played_in_range(0.2, 0.1)


def test_uneven_times_are_the_files_own():
    info = VideoInfo(
        width=32,
        height=32,
        time_base=Fraction(1, 1000),
        timestamps=(500, 510, 900),
        final_duration=100,
        rate=Fraction(25),
    )
    times = Timeline(info)
    assert [times.played_at(t) for t in (0.5, 0.5099, 0.51, 0.8999, 0.9, 0.9999)] == [0, 0, 1, 1, 2, 2]
    assert list(times.played_in(0.505, 0.9)) == [0, 1]
    assert list(times.played_in(0.51, 0.901)) == [1, 2]


@pytest.mark.parametrize("wrong", [[6], [-7], [0, 99]])
def test_frames_that_are_not_there(wrong, decoder):
    with pytest.raises(IndexError, match="not in a video of 6 frames"):
        decoder.get_frames_at(wrong)
    with pytest.raises(IndexError):
        decoder.frames(wrong)


def test_what_is_no_number_of_a_frame_is_no_index(decoder):
    for wrong in (1.5, "2", None):
        with pytest.raises(TypeError):
            decoder[wrong]
        with pytest.raises(TypeError):
            decoder.get_frames_at([0, wrong])
    assert np.array_equal(decoder[np.int64(2)], decoder[torch.tensor(2)])


def test_wrong_rates_and_ranges_are_refused_at_once(decoder):
    for numbers, rate in ((range(5, 8), 1), (range(-1, 2), 1), (range(12), 2)):
        with pytest.raises(IndexError, match=r"is not in 0\.\."):
            decoder.frames(numbers, rate)
    with pytest.raises(SettingsError, match="rate 0 is below 1"):
        decoder.frames(range(2), 0)


def test_tensors_and_channels_first(coded, frames):
    with Decoder(coded, device="cpu", output="torch", layout="NCHW") as decoder:
        assert torch.equal(decoder[2], torch.from_numpy(frames[2]).permute(2, 0, 1))
        assert decoder[1:3].shape == (2, 3, 18, 34)
        batch = decoder.get_frames_at([3, 1])
        assert torch.equal(batch.data, torch.from_numpy(frames[[3, 1]]).permute(0, 3, 1, 2))
        assert batch.pts_seconds.dtype == torch.float64
        assert [tuple(frame.shape) for frame in decoder] == [(3, 18, 34)] * 6
        assert decoder[0].float().mean() > 0  # a tensor like any other, not one of inference
    with Decoder(coded, device="cpu", layout="NCHW") as decoder:
        assert np.array_equal(decoder[2], frames[2].transpose(2, 0, 1))
    for wrong in ({"output": "jax"}, {"layout": "CHWN"}):
        with pytest.raises(SettingsError, match="is not one of"):
            Decoder(coded, **wrong)  # type: ignore[arg-type]


def test_what_is_known_without_decoding(coded, decoder):
    known = decoder.metadata
    assert (known.width, known.height, known.num_frames, known.codec) == (34, 18, 6, "snrv")
    assert known.average_fps == pytest.approx(25)
    assert known.duration_seconds == pytest.approx(0.24)
    assert known.bytes == coded.stat().st_size
    assert known.bit_rate == pytest.approx(8 * known.bytes / 0.24)
    assert "6 frames of 34x18" in repr(decoder)


def test_bytes_and_file_objects_are_files_too(coded, frames, tmp_path):
    data = coded.read_bytes()
    with Decoder(data, device="cpu") as decoder:
        assert np.array_equal(decoder[3], frames[3])
    with Decoder(io.BytesIO(data), device="cpu") as decoder:
        assert np.array_equal(decoder[3], frames[3])
    with coded.open("rb") as file, Decoder(file, device="cpu") as decoder:
        assert np.array_equal(decoder[3], frames[3])
    assert decode(data, tmp_path / "out.mkv", device="cpu").frames == 6
    with pytest.raises(BitstreamError, match="^not a SNRV stream"):
        Decoder(b"something else")


def test_all_that_holds_bytes_is_a_file_and_what_does_not_is_told(coded, frames):
    data = bytearray(coded.read_bytes())
    with Decoder(data, device="cpu") as decoder, Decoder(memoryview(data), device="cpu") as other:
        data[:] = bytes(len(data))  # what its owner does with it later is no matter
        assert np.array_equal(decoder[3], frames[3])
        assert np.array_equal(pickle.loads(pickle.dumps(other))[4], frames[4])
    with coded.open(encoding="latin-1") as text:
        wrongs: list[Any] = [(3, "int"), (None, "NoneType"), (text, "one opened as text")]
        for wrong, kind in wrongs:
            with pytest.raises(TypeError, match=f"its path, its bytes, or a binary file object, not {kind}"):
                Decoder(wrong)


def test_a_copy_in_another_process_decodes_the_same(coded, frames):
    with Decoder(coded, device="cpu", layout="NCHW") as decoder:
        copy = pickle.loads(pickle.dumps(decoder))
    assert np.array_equal(copy[4], frames[4].transpose(2, 0, 1))
    copy.close()
    with Decoder(coded.open("rb"), device="cpu") as decoder, pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(decoder)


def at(decoder, number):
    torch.set_num_threads(1)
    return decoder[number]


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_worker_processes_decode(start, coded, decoder, frames):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} on this system")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(start)) as pool:
        decoded = list(pool.map(at, [Decoder(coded, device="cpu")] * 6, range(6)))
    assert np.array_equal(decoded, frames)


def test_threads_share_a_decoder(coded, frames):
    barrier = threading.Barrier(4)

    def work(shared, seed):
        numbers = np.random.default_rng(seed).permutation(6)
        barrier.wait()
        return np.array_equal(shared.get_frames_at(numbers).data, frames[numbers])

    for source in (coded, coded.read_bytes()):
        with Decoder(source, device="cpu") as shared, ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, [shared] * 8, range(8)))


def test_a_closed_decoder_says_so(coded):
    decoder = Decoder(coded, device="cpu")
    decoder.close()
    for use in (lambda: decoder[0], lambda: next(iter(decoder)), decoder.checksums, decoder.tracks):
        with pytest.raises(ValueError, match="closed"):
            use()
    decoder.close()


@pytest.mark.parametrize("kind", ["numpy", "torch", "channels first"])
def test_an_array_becomes_a_file(kind, tmp_path):
    picture = moving_picture(4, 20, 36)
    source: Any = {
        "numpy": picture,
        "torch": torch.from_numpy(picture),
        "channels first": torch.from_numpy(picture).permute(0, 3, 1, 2),
    }[kind]
    report = encode(source, tmp_path / "out.snrv", **QUICK, rate=29.97, crop=(18, 34), frames=(1, 4))
    assert report.source == f"array of shape {tuple(source.shape)}"
    with Decoder(tmp_path / "out.snrv", device="cpu") as decoder:
        assert decoder.metadata.average_fps == pytest.approx(29.97)
        assert (decoder.metadata.num_frames, decoder.metadata.height) == (3, 18)
    read = read_video(source, Selection(rate=Fraction(25), crop=(18, 34), frames=(1, 4)))
    assert np.array_equal(read.frames, picture[1:, 1:19, 1:35])


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (np.zeros((2, 18, 34, 3), np.float32), {"rate": 25}, InputError, "an array of float32, where uint8"),
        (np.zeros((18, 34, 3), np.uint8), {"rate": 25}, InputError, r"shape \(18, 34, 3\), where \(T, H, W, 3\)"),
        (np.zeros((0, 18, 34, 3), np.uint8), {"rate": 25}, InputError, "without frames"),
        (np.zeros((2, 18, 34, 3), np.uint8), {}, SettingsError, "no frame rate; give rate=25"),
        (np.zeros((2, 18, 34, 3), np.uint8), {"rate": 0}, SettingsError, "rate 0 is not a number of frames"),
        (np.zeros((2, 18, 34, 3), np.uint8), {"rate": 25, "crop": (20, 34)}, SettingsError, "exceeds the frame"),
        (np.zeros((2, 18, 34, 3), np.uint8), {"rate": 25, "frames": (1, 3)}, SettingsError, "not in an array of 2"),
        (np.zeros((2, 8, 34, 3), np.uint8), {"rate": 25}, InputError, "34x8 frames; sides from 16"),
    ],
)
def test_arrays_that_are_no_video(source, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        encode(source, tmp_path / "out.snrv", **QUICK, **options)
    assert list(tmp_path.iterdir()) == []


def test_settings_by_name():
    settings = EncodeSettings.of(size=3e5, epochs=3, target_psnr=34, crop=(16, 32), rate="30000/1001", preset="fast")
    assert settings.target == Target("psnr", 34)
    assert settings.fit == FitSettings.preset("fast", epochs=3, recipe="rd")
    assert settings.source.crop == (16, 32)
    assert settings.source.rate == Fraction(30000, 1001)
    assert EncodeSettings.of(size=3e5) == EncodeSettings(size=3e5)  # a size alone is the paper's pipeline
    assert EncodeSettings.of().fit.recipe == "rd"
    assert EncodeSettings.of(preset="paper").fit.recipe == EncodeSettings.of(entropy="nnc").fit.recipe == "paper"
    with pytest.raises(SettingsError, match="no setting 'epoch'; 'epochs' is the nearest"):
        EncodeSettings.of(epoch=3)
    with pytest.raises(SettingsError, match="cannot both be met"):
        EncodeSettings.of(target_psnr=3, target_size=5)
    wrong: list[dict[str, Any]] = [{"epochs": 2.5}, {"epochs": "3"}, {"seed": True}, {"chain": float("nan")}]
    for choice in wrong:
        with pytest.raises(SettingsError, match=f"^`{next(iter(choice))}` .* is not a whole number$"):
            EncodeSettings.of(**choice)
    wrong = [{"target_psnr": "34"}, {"target_bitrate": "800k"}, {"min_psnr": "30"}, {"learning_rate": []}]
    for choice in wrong:
        with pytest.raises(SettingsError, match=f"^`{next(iter(choice))}` .* is not a number$"):
            EncodeSettings.of(**choice)
    counted = EncodeSettings.of(epochs=3.0, seed=np.int64(7)).fit
    assert (repr(counted.epochs), repr(counted.seed)) == ("3", "7")
    with pytest.raises(SettingsError, match="settings and epochs beside them"):
        EncodeSettings.either(EncodeSettings(), {"epochs": 3})


def test_a_plan_takes_settings_by_name_and_numbers(clip):
    made = plan(clip, size=200_000, device="cpu", epochs=1)
    assert made.total_parameters == pytest.approx(200_000, rel=0.1)
    assert made.to_json()["width"] == 34
    assert made == made.__class__(**{name: getattr(made, name) for name in made.__slots__})
