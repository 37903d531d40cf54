"""Opening a file for what it holds itself: never as a list of other files, a pattern of their names, or a script.

FFmpeg guesses what a file is by its bytes and its name, and opens what lists name before it says that it is one. So
those formats are not among what it may guess, and images are told by their first bytes.
"""

from pathlib import Path

import av

# Of FFmpeg's formats those that open other files or addresses than the one they are given.
NOT_ALONE = frozenset(
    (
        *("concat", "concatf", "dash", "hls", "image2", "imf", "mpsub", "smoothstreaming", "vobsub"),
        *("webm_dash_manifest", "avisynth", "vapoursynth", "lavfi", "rtp", "rtsp", "sap", "sdp"),
    )
)
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(sorted(av.formats_available - NOT_ALONE))}
LISTS = (b"ffconcat version", b"#EXTM3U", b"<MPD", b"<AssetMap", b"<CompositionPlaylist", b"[playlist]")
HEAD = 1 << 12  # bytes
IMAGES = (".png", ".jpg", ".jpeg")  # names of PNG and JPEG files
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def address(path: str | Path) -> str:
    """What FFmpeg takes for this file, whatever its name looks like."""
    return f"file:{path}"


def image_format(path: Path) -> str | None:
    """FFmpeg's name for the format of a PNG, animated or not, or JPEG file; None for another. Raises `OSError`."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(PNG):
        return "apng" if b"acTL" in head else "png_pipe"
    return "jpeg_pipe" if head.startswith(JPEG) else None


def lists_others(path: Path) -> bool:
    """Whether a file looks like a list of others. Raises `OSError`."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return any(mark in head for mark in LISTS)
