"""The command line as its users meet it: results on standard output, one line and a code when it fails."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import moving_picture, packets

from snerv_codec import Decoder
from snerv_codec.bitstream.container import read_header
from snerv_codec.bitstream.sections import CHECKSUM_SIZE
from snerv_codec.cli.main import main
from snerv_codec.encoding import planning
from snerv_codec.encoding.pace import Pace
from snerv_codec.media.reader import read_video

QUICK = ("--size", "40k", "--epochs", "1", "--prune-epochs", "0", "--device", "cpu")


def fails(capsys, *argv, code=1):
    """Run a command that must fail; return its one line."""
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.strip().startswith("snerv: error: ")
    return err


def run(capsys, *argv):
    """Run a command that must succeed; return its standard output."""
    capsys.readouterr()
    assert main([str(argument) for argument in argv]) == 0
    return capsys.readouterr().out


def test_encode_decode_info_and_verify(clip, tmp_path, capsys):
    coded, again = tmp_path / "clip.snrv", tmp_path / "again.mp4"
    lines = run(capsys, "encode", clip, "-o", coded, *QUICK, "--force", "--json").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["plan", "epoch", "done"]
    assert events[-1]["bytes_total"] == coded.stat().st_size
    assert events[-1]["config"]["blocks"] == 2

    assert str(again) in run(capsys, "decode", coded, "-o", again)
    assert packets(again, "audio") == packets(clip, "audio")

    info = json.loads(run(capsys, "info", coded, "--json"))
    assert (info["width"], info["height"], info["frames"], info["rate"]) == (34, 18, 6, "25")
    assert info["tracks"][0]["codec"] == "aac"
    text = run(capsys, "info", coded)
    assert "34x18, 6 frames at 25 fps" in text
    assert "recipe paper, muon, epochs 1 fit" in text

    assert "sections intact; frame checksums not checked" in run(capsys, "verify", coded)
    assert "frame checksums equal" in run(capsys, "verify", coded, "--decode", "--device", "cpu")


def test_text_reports_name_size_and_quality(clip, tmp_path, capsys):
    out = run(capsys, "encode", clip, "-o", tmp_path / "out.snrv", *QUICK)
    assert f"{(tmp_path / 'out.snrv').stat().st_size:,} bytes" in out
    assert "PSNR" in out
    assert re.search(r"pruning (lost|gained) \d\.\d+ dB, quantisation (lost|gained) \d\.\d+ dB", out)


def test_the_plan_of_the_papers_bunny(tmp_path, capsys):
    with open(tmp_path / "in.yuv", "wb") as samples:
        samples.truncate(132 * 1280 * 640 * 3 // 2)
    source = ("encode", tmp_path / "in.yuv", "--video-size", "1280x640")
    plan = json.loads(run(capsys, *source, "--size", "3M", "--dry-run", "--json"))
    assert plan["widths"][0] == 111
    assert plan["blocks"] == 6
    assert plan["strides"] == [5, 4, 2, 2, 2]
    assert plan["embedding_shape"] == [16, 2, 4]
    assert plan["decoder_parameters"] == 2_993_042
    assert plan["encoder_parameters"] == 257_008
    assert plan["embedding_parameters"] == 132 * 130
    assert plan["total_parameters"] == 3_010_202
    assert plan["decoder_macs"] == pytest.approx(90.10e9, abs=5e6)
    assert plan["padding"] == 0
    assert 2_500_000 < plan["predicted_bytes"] < 3_010_202
    assert plan["video_memory"] == 132 * 640 * 1280 * 3
    assert list(tmp_path.iterdir()) == [tmp_path / "in.yuv"]
    text = run(capsys, *source, "--size", "3M", "--crop", "480x960", "--frames", "0:10", "--dry-run")
    assert "10 frames of 960x480" in text
    assert "N_RB 6, strides 5,3,2,2,2, embedding 16x2x4, padding 0.0%" in text


def test_presets_and_what_is_given_beside_them(clip, capsys):
    def epochs(*arguments):
        return json.loads(run(capsys, "encode", clip, *arguments, "--prune", "0", "--dry-run", "--json"))["epochs"]

    assert epochs("--preset", "paper") == 300
    assert epochs("--preset", "fast") < epochs() < epochs("--preset", "best")
    assert epochs("--preset", "fast", "--epochs", "7") == 7


def test_a_plan_tells_the_time_of_the_fit(clip, capsys, monkeypatch):
    command = ("encode", clip, "--size", "90k", "--epochs", "10", "--prune", "0", "--device", "cpu", "--dry-run")
    assert json.loads(run(capsys, *command, "--json"))["predicted_seconds"] > 0
    monkeypatch.setattr(planning, "measure_pace", lambda *_: Pace(0.5, 0.5, 0.5))
    assert json.loads(run(capsys, *command, "--json"))["predicted_seconds"] == pytest.approx((10 + 1) * 6 * 0.5)
    assert re.search(r"on disk, .*after about 33 s on cpu", run(capsys, *command))


def test_a_batch_of_more_frames_than_there_are_takes_no_more_memory(clip, capsys):
    plans = [
        json.loads(run(capsys, "encode", clip, "--device", "cpu", "--batch", batch, "--dry-run", "--json"))
        for batch in ("6", "1000000")
    ]
    assert plans[0]["fitting_memory"] == plans[1]["fitting_memory"]
    assert plans[1]["predicted_seconds"] > 0


def test_a_quality_is_planned_for_by_recipe_rd_and_goes_with_no_size(clip, capsys):
    plan = json.loads(
        run(capsys, "encode", clip, "--size", "200k", "--target-psnr", "30", "--preset", "paper", "--dry-run", "--json")
    )
    assert plan["epochs"] == 300  # recipe rd: a third to fit, the rest on its grids
    both = ("encode", clip, "--dry-run", "--target-psnr", "30", "--target-size", "1M")
    assert "Only one of --target-size, " in fails(capsys, *both, code=2)


def test_a_predicted_size_is_close(clip, tmp_path, capsys):
    plan = json.loads(run(capsys, "encode", clip, "--size", "200k", "--dry-run", "--json"))
    run(capsys, "encode", clip, "-o", tmp_path / "out.snrv", *QUICK, "--size", "200k")
    segment = next(s for s in read_header(tmp_path / "out.snrv").sections if s.name == "SEGM")
    assert segment.size == pytest.approx(plan["predicted_bytes"], rel=0.1)


def test_frames_come_as_images_and_as_y4m(coded, tmp_path, capsysbinary, monkeypatch):
    with Decoder(coded, device="cpu") as decoder:
        frames = decoder[:]
    assert main(["decode", str(coded), "-o", str(tmp_path / "frames"), "--frames", "1:4"]) == 0
    images = sorted((tmp_path / "frames").iterdir())
    assert [image.name for image in images] == ["frame_00000.png", "frame_00001.png", "frame_00002.png"]
    assert np.array_equal(read_video(tmp_path / "frames").frames, frames[1:4])

    capsysbinary.readouterr()
    assert main(["decode", str(coded), "-o", "-"]) == 0
    out = capsysbinary.readouterr().out
    (tmp_path / "pipe.y4m").write_bytes(out)
    assert out.startswith(b"YUV4MPEG2 W34 H18 F25:1")
    piped = read_video(tmp_path / "pipe.y4m").frames
    assert np.abs(piped.astype(int) - frames).max() <= 3  # 8-bit YUV and back


def test_a_pipe_goes_in(tmp_path):
    picture = moving_picture(2, 18, 34)
    samples = b"".join(b"FRAME\n" + p.transpose(2, 0, 1).tobytes() for p in picture)
    command = [sys.executable, "-m", "snerv_codec.cli.main", "encode", "-", "-o", "out.snrv", *QUICK]
    header = b"YUV4MPEG2 W34 H18 F30000:1001 Ip A1:1 C444\n"
    done = subprocess.run(command, input=header + samples, cwd=tmp_path, capture_output=True, env=environment())
    assert done.returncode == 0, done.stderr
    info = read_header(tmp_path / "out.snrv").video
    assert (info.width, info.height, info.frame_count, str(info.rate)) == (34, 18, 2, "30000/1001")


def environment():
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.parametrize("command", ["decode", "info", "verify"])
def test_what_is_no_stream_is_refused(command, clip, coded, tmp_path, capsys):
    output = ("-o", tmp_path / "out.mp4") if command == "decode" else ()
    assert "nothing.snrv: No such file" in fails(capsys, command, tmp_path / "nothing.snrv", *output)
    (tmp_path / "empty.snrv").touch()
    assert "empty.snrv: not a SNRV stream" in fails(capsys, command, tmp_path / "empty.snrv", *output)
    assert "clip.mp4: not a SNRV stream" in fails(capsys, command, clip, *output)
    data = coded.read_bytes()
    (tmp_path / "cut.snrv").write_bytes(data[: len(data) // 2])
    assert "cut.snrv: " in fails(capsys, command, tmp_path / "cut.snrv", *output)
    for version in (1, 3):
        other = bytearray(data)
        other[8] = version
        other[10:14] = crc32(other[:10])
        (tmp_path / "other.snrv").write_bytes(other)
        message = f"other.snrv: version {version}.0; this reader knows 2.x"
        assert message in fails(capsys, command, tmp_path / "other.snrv", *output)
    assert not (tmp_path / "out.mp4").exists()


def crc32(data):
    import zlib

    return zlib.crc32(bytes(data)).to_bytes(CHECKSUM_SIZE, "little")


def test_a_flipped_bit_is_found(coded, tmp_path, capsys):
    damaged = bytearray(coded.read_bytes())
    damaged[-300] ^= 4
    (tmp_path / "bad.snrv").write_bytes(damaged)
    assert "bad.snrv: the checksum of section" in fails(capsys, "verify", tmp_path / "bad.snrv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{tmp}/nothing.mp4",), "nothing.mp4: no such file"),
        (("{tmp}/text.mp4",), "text.mp4: not a video that can be read"),
        (("{tmp}/sound.m4a",), "sound.m4a: holds no video"),
        (("{tmp}/folder",), "folder: holds no images"),
        (("{clip}", "--size", "10k"), "too small: the embeddings of 6 frames take"),
        (("{clip}", "--size", "huge"), "size 'huge' is not a number of parameters such as 3M"),
        (("{clip}", "--device", "cuda:9"), "'cuda:9' asked for, but"),
        (("{clip}", "--device", "tpu"), "device 'tpu' is not one of"),
        (("{clip}", "--device", "cpu:1"), "device 'cpu:1' is not one of"),
        (("{clip}", "--frames", "0:60"), "has 6 frames, not all of 0:60"),
        (("{clip}", "--crop", "100x100"), "crop 100x100 (height x width) exceeds the frame"),
        (("{clip}", "--stream", "1"), "has no video stream 1; it has 0: 34x18"),
        (("{clip}", "--weight-bits", "0"), "weight-bits 0 is not in 1..16"),
        (("{clip}", "--prune", "1.5"), "prune 1.5 is not in"),
        (("{clip}", "--seed", str(1 << 64)), "seed 18446744073709551616 is above"),
        (("{clip}", "--strides", "0,0,0,0,0"), "strides (0, 0, 0, 0, 0) are not 3 to 6 integers in 1..16"),
        (("{clip}", "--size", "1000000M"), "a size of 1,000,000,000,000 parameters is too large; ask for"),
        (
            ("{clip}", "--channels", "1024", "--blocks", "64", "--model", "t"),
            "are more than the 268,435,456",
        ),
        (("{tmp}/raw.yuv",), "raw samples do not tell their size; give --video-size"),
        (("{tmp}/sizes",), "frame 1 is 20x16 and the first 16x16"),
    ],
)
def test_an_input_or_setting_that_cannot_be_used(arguments, message, clip, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "raw.yuv").write_bytes(bytes(16 * 16 * 3 // 2))
    (tmp_path / "folder").mkdir()
    write_sound(tmp_path / "sound.m4a")
    for number, width in enumerate((16, 20)):
        write_images(tmp_path / "sizes", number, width)
    before = sorted(tmp_path.iterdir())
    source, *rest = (argument.format(tmp=tmp_path, clip=clip) for argument in arguments)
    assert message in fails(capsys, "encode", source, "-o", tmp_path / "out.snrv", *QUICK, *rest)
    assert sorted(tmp_path.iterdir()) == before


def write_sound(path):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_images(folder, number, width):
    from snerv_codec.media.writer import write_image

    folder.mkdir(exist_ok=True)
    write_image(folder / f"{number}.png", np.zeros((16, width, 3), np.uint8))


def test_outputs_are_guarded(clip, coded, tmp_path, capsys):
    taken = tmp_path / "taken.mp4"
    taken.write_text("precious")
    assert "taken.mp4: exists already; use --overwrite" in fails(capsys, "decode", coded, "-o", taken)
    assert "is the input" in fails(capsys, "encode", clip, "-o", clip, "--overwrite", *QUICK)
    assert "name it out.snrv" in fails(capsys, "encode", clip, "-o", tmp_path / "out.mp4", *QUICK)
    assert "there is no folder" in fails(capsys, "encode", clip, "-o", tmp_path / "no" / "out.snrv", *QUICK)
    assert "unknown kind .avi" in fails(capsys, "decode", coded, "-o", tmp_path / "out.avi")
    assert "--crf and --preset are for" in fails(capsys, "decode", coded, "-o", tmp_path / "out.mkv", "--crf", 20)
    assert "frames 4:9 are not in a video of 6" in fails(capsys, "decode", coded, "-o", "x.mp4", "--frames", "4:9")
    assert taken.read_text() == "precious"
    run(capsys, "decode", coded, "-o", taken, "--overwrite")
    assert len(packets(taken, "video")) == 6


def test_usage_errors_have_their_own_code(clip, capsys):
    assert "Missing argument 'INPUT...'; see snerv encode --help" in fails(capsys, "encode", code=2)
    assert "640x1280 (height x width)" in fails(capsys, "encode", clip, "-o", "x", "--crop", "12", code=2)
    assert "'0.0' is not above 0" in fails(capsys, "encode", clip, "-o", "x", "--fps", "0.0", code=2)
    assert "for raw samples" in fails(capsys, "encode", clip, "-o", "x", "--video-size", "16x16", code=2)
    assert "does not go to standard output" in fails(capsys, "encode", clip, "-o", "-", code=2)
    assert "No such command 'nonsense'; see snerv --help" in fails(capsys, "nonsense", code=2)
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_an_interruption_claims_nothing(clip, tmp_path, capsys, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("snerv_codec.codec.read_footage", interrupt)
    err = fails(capsys, "encode", clip, "-o", tmp_path / "out.snrv", *QUICK, code=130)
    assert err.strip() == "snerv: error: interrupted"  # nothing is there to be resumed


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_running_out_of_memory_says_what_to_lower(error, clip, tmp_path, capsys, monkeypatch):
    def exhaust(*args, **options):
        raise error

    monkeypatch.setattr("snerv_codec.codec.read_footage", exhaust)
    err = fails(capsys, "encode", clip, "-o", tmp_path / "o.snrv", *QUICK)
    assert "encoding takes more memory than there is; lower --size or --batch" in err


def test_the_traceback_is_for_those_who_ask(tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["--debug", "info", str(tmp_path / "nothing.snrv")])


def test_a_closed_pipe_is_no_accident(coded):
    command = f"{sys.executable} -m snerv_codec.cli.main decode {coded} -o - | head -c 10 > /dev/null"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment())
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes streams")
def test_closed_streams(coded, tmp_path):
    snerv = f"{sys.executable} -m snerv_codec.cli.main"
    commands = {
        f"{snerv} encode - --dry-run <&-": "standard input is closed; pipe a video into it, or give a file",
        f"{snerv} decode {coded} -o - >&-": "standard output is closed; pipe it somewhere, or give a file",
        f"{snerv} decode {coded} -o {tmp_path / 'out.mp4'} <&- >&- 2>&-": None,
    }
    for command, message in commands.items():
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment())
        assert done.stderr.splitlines() == ([f"snerv: error: {message}"] if message else [])
        assert done.returncode == (1 if message else 0)
    assert len(packets(tmp_path / "out.mp4", "video")) == 6


def test_the_demo_leaves_a_video_and_a_picture(clip, tmp_path, capsys):
    out = run(capsys, "demo", clip, "--size", "40k", "--epochs", "2", "--output", tmp_path / "out")
    assert "PSNR" in out
    assert packets(tmp_path / "out" / "clip.decoded.mp4", "audio")
    assert "<!doctype html>" in (tmp_path / "out" / "clip.html").read_text()
    picture = read_video(tmp_path / "out" / "clip.png").frames[0]
    assert picture.shape == (18, 3 * 34, 3)  # original, decoded, difference
    assert np.array_equal(picture[:, :34], read_video(clip).frames[3])


def test_a_demo_that_fails_leaves_no_empty_folder(clip, tmp_path, capsys):
    assert "is too small" in fails(capsys, "demo", clip, "--size", "10", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_demo_replaces_nothing_unasked(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ("--size", "40k", "--epochs", "1")
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    for name in ("clip.png", "clip.snrv", "clip.decoded.mp4", "clip.html"):
        (tmp_path / name).write_text("precious")
        assert f"{name}: exists already" in fails(capsys, "demo", "clip.mp4", *quick, "--output", ".")
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    for folder in ("demo-out", "demo-out-2"):  # a folder of its own each time
        run(capsys, "demo", "clip.mp4", *quick)
        assert (tmp_path / folder / "clip.snrv").exists()
    first = (tmp_path / "demo-out" / "clip.png").stat().st_mtime_ns
    run(capsys, "demo", "clip.mp4", *quick, "--output", "demo-out", "--overwrite")
    assert (tmp_path / "demo-out" / "clip.png").stat().st_mtime_ns > first


def test_an_encode_makes_its_page_at_once(clip, tmp_path, capsys):
    out = tmp_path / "out.snrv"
    (tmp_path / "out.html").write_text("precious")
    assert "out.html: exists already" in fails(capsys, "encode", clip, "-o", out, *QUICK, "--report")
    assert "--report looks at the whole" in fails(
        capsys, "encode", clip, "-o", out, *QUICK, "--report", "--holdout", "even", code=2
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
    run(capsys, "encode", clip, "-o", out, *QUICK, "--report", "--overwrite", "--frames", "1:5")
    assert "Quality over time" in (tmp_path / "out.html").read_text()
