import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snerv_codec.errors import OutputError
from snerv_codec.runtime.files import atomic_path, check_target, describe_os_error


def write(target, data=b"new", *, overwrite=False):
    with atomic_path(target, overwrite=overwrite) as beside:
        beside.write_bytes(data)


def write_folder(target, names=("frame_00000.png",), *, overwrite=False):
    with atomic_path(target, overwrite=overwrite, folder=True) as beside:
        for name in names:
            (beside / name).write_bytes(b"new")


def fail_with(error, target, **options):
    with atomic_path(target, **options) as beside:
        if beside.is_dir():
            (beside / "frame_00000.png").write_bytes(b"half")
        else:
            beside.write_bytes(b"half")
        raise error


def test_a_file_appears_at_the_end_and_not_before(tmp_path):
    with atomic_path(tmp_path / "out.bin", overwrite=False) as beside:
        beside.write_bytes(b"all of it")
        assert beside.suffix == ".bin"
        assert not (tmp_path / "out.bin").exists()
    assert (tmp_path / "out.bin").read_bytes() == b"all of it"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError(), OSError(errno.ENOSPC, "No space left on device")]
)
@pytest.mark.parametrize("folder", [False, True])
def test_failure_leaves_nothing_and_harms_nothing(tmp_path, error, folder):
    expected = OutputError if isinstance(error, OSError) else type(error)
    (write_folder if folder else write)(tmp_path / "old")
    for name in ("old", "new"):
        with pytest.raises(expected):
            fail_with(error, tmp_path / name, overwrite=True, folder=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    content = tmp_path / "old" / "frame_00000.png" if folder else tmp_path / "old"
    assert content.read_bytes() == b"new"


def test_a_full_disk_says_what_to_do(tmp_path):
    with pytest.raises(OutputError, match="out.bin: cannot be written: No space left on device; free some space"):
        fail_with(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), tmp_path / "out.bin", overwrite=False)
    assert "free" not in str(describe_os_error("x", OSError(errno.EIO, "Input/output error")))


def test_an_older_file_is_replaced_only_where_asked(tmp_path):
    (tmp_path / "out.bin").write_bytes(b"old")
    with pytest.raises(OutputError, match="out.bin: exists already; use `overwrite`"):
        write(tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == b"old"
    write(tmp_path / "out.bin", overwrite=True)
    assert (tmp_path / "out.bin").read_bytes() == b"new"


def test_the_input_is_never_the_output_even_by_another_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "in.mp4"
    source.write_bytes(b"video")
    (tmp_path / "link.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    for name in ("in.mp4", "link.mp4", "hard.mp4", "./in.mp4", f"../{tmp_path.name}/in.mp4"):
        with pytest.raises(OutputError, match="is the input; choose another output"):
            check_target(Path(name), overwrite=True, source=source)
    check_target(Path("out.mp4"), overwrite=True, source=source)
    check_target(Path("out.mp4"), overwrite=True, source="-")


def test_a_folder_of_frames_is_replaced_as_a_whole(tmp_path):
    write_folder(tmp_path / "out", ["frame_00000.png", "frame_00001.png"])
    with pytest.raises(OutputError, match="exists already"):
        write_folder(tmp_path / "out")
    write_folder(tmp_path / "out", ["frame_00007.png"], overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "frame_00007.png"]


@pytest.mark.parametrize("target", [".", "..", "mine", "mine/deep/.."])
def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path, monkeypatch, target):
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "frame_00000.png").write_bytes(b"")
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    monkeypatch.chdir(
        tmp_path / "mine" if target == "." else tmp_path / "mine" / "deep" if target == ".." else tmp_path
    )
    with pytest.raises(OutputError, match="is not a folder of frames alone"):
        write_folder(Path(target), overwrite=True)
    with pytest.raises(OutputError, match="is not a file"):
        write(Path(target), overwrite=True)
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear diary"


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="link: exists already"):
        write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="needs a named pipe")
def test_only_a_file_replaces_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OutputError, match="is not a folder of frames"):
        write_folder(tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_bytes() == b"old"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is not a file"):
        write(tmp_path / "pipe", overwrite=True)
    assert (tmp_path / "pipe").is_fifo()


def test_a_replacement_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "out")
    rename, calls = os.replace, []

    def refuse_the_second(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_second)
    with pytest.raises(OutputError, match="Input/output error"):
        write_folder(tmp_path / "out", ["frame_00009.png"], overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "frame_00000.png"]


def test_folders_that_are_not_there_or_not_folders(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "none" / "out.bin", tmp_path / "file" / "out.bin"):
        with pytest.raises(OutputError, match=f"there is no folder {target.parent}; create it first"):
            write(target)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission to write in"):
        write(tmp_path / "locked" / "out.bin")


@pytest.mark.parametrize("name", ["日" * 80 + ".mp4", "x" * 250 + ".mp4", ".mp4", "a" * 255])
def test_any_name_that_the_disk_takes(tmp_path, name):
    write(tmp_path / name[-255:])
    assert [path.name for path in tmp_path.iterdir()] == [name[-255:]]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_in_the_middle_of_a_write_leaves_nothing(tmp_path):
    script = (
        "import signal, sys, time\nfrom pathlib import Path\nfrom snerv_codec.runtime.files import atomic_path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "with atomic_path(Path(sys.argv[1]), overwrite=False) as beside:\n"
        "    beside.write_bytes(b'half')\n    print('writing', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "out.bin")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout.readline() == b"writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGINT)
        process.wait()
    assert process.returncode == -signal.SIGINT  # it did not come to its end
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time_writes_a_target(tmp_path):
    with atomic_path(tmp_path / "out.bin", overwrite=True) as first:
        first.write_bytes(b"first")
        for folder in (False, True):
            with pytest.raises(OutputError, match="out.bin: another process is writing it; let it end, or choose"):
                fail_with(RuntimeError(), tmp_path / "out.bin", overwrite=True, folder=folder)
        write(tmp_path / "out.txt")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.bin": b"first", "out.txt": b"new"}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
@pytest.mark.parametrize("folder", [False, True])
def test_what_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch, links, folder):
    def refuse(source, target):
        raise PermissionError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "out"
    write_folder(tmp_path / "other")

    def write_late():
        with atomic_path(target, overwrite=False, folder=folder) as beside:
            (beside / "frame_00000.png" if folder else beside).write_bytes(b"ours")
            os.replace(tmp_path / "other" if folder else tmp_path / "other" / "frame_00000.png", target)

    with pytest.raises(OutputError, match="out: exists already; use `overwrite`"):
        write_late()
    assert (target / "frame_00000.png" if folder else target).read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "other"}
    write_folder(tmp_path / "new") if folder else write(tmp_path / "new")
    assert (tmp_path / "new").exists()


def test_what_is_put_into_a_folder_meanwhile_is_kept(tmp_path):
    write_folder(tmp_path / "out")
    with (
        pytest.raises(OutputError, match="is not a folder of frames alone"),
        atomic_path(tmp_path / "out", overwrite=True, folder=True),
    ):
        (tmp_path / "out" / "diary.txt").write_text("dear diary")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["diary.txt", "frame_00000.png", "out"]


def test_only_files_are_frames(tmp_path):
    (tmp_path / "out" / "frame_7.png").mkdir(parents=True)
    (tmp_path / "out" / "frame_7.png" / "diary.txt").write_text("dear diary")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "frame_00000.png").symlink_to(tmp_path)
    for name in ("out", "links"):
        with pytest.raises(OutputError, match="is not a folder of frames alone"):
            write_folder(tmp_path / name, overwrite=True)
    assert (tmp_path / "out" / "frame_7.png" / "diary.txt").read_text() == "dear diary"


@pytest.mark.parametrize("folder", [False, True])
def test_a_link_is_written_through(tmp_path, folder):
    (tmp_path / "there").mkdir()
    content = "frame_00000.png" if folder else ""
    make = write_folder if folder else write
    make(tmp_path / "there" / "old")
    (tmp_path / "there" / "old" / content).write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "old")
    with pytest.raises(OutputError, match="link: exists already"):
        make(tmp_path / "link")
    make(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "old" / content).read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} == {"there", "link"}
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["old"]


@pytest.mark.skipif(os.name != "posix", reason="needs devices")
def test_devices_are_refused_in_the_same_words_with_and_without_overwrite(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for overwrite in (False, True):
        for target in (Path("/dev/null"), tmp_path / "pipe"):
            with pytest.raises(OutputError, match="is not a file but a pipe or a device; choose another output"):
                check_target(target, overwrite=overwrite)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("folder", [False, True])
def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path, folder):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom snerv_codec.runtime.files import atomic_path\n"
        f"with atomic_path(Path(sys.argv[1]), overwrite=False, folder={folder}) as beside:\n"
        f"    (beside / 'frame_1.png' if {folder} else beside).write_bytes(b'half')\n"
        "    print('writing', flush=True)\n    time.sleep(600)\n"
    )
    target = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        with pytest.raises(OutputError, match="another process is writing it"):
            (write_folder if folder else write)(target)
        process.kill()
    assert len(list(tmp_path.iterdir())) == 1
    (write_folder if folder else write)(target)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (target / "frame_1.png").exists()


def test_an_interruption_tells_what_was_not_written(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop:
        fail_with(KeyboardInterrupt(), tmp_path / "out.bin", overwrite=False)
    assert stop.value.__notes__ == [f"{tmp_path / 'out.bin'} was not written"]
