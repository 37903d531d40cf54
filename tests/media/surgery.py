"""Cuts into media files, as cameras, editors and accidents make them."""

import struct


def set_edits(path, track, edits):
    """Give track number `track` of an MP4 these edits: (milliseconds, first tick of the media or -1 for nothing)."""
    data = bytearray(path.read_bytes())
    rows = b"".join(struct.pack(">IiI", duration, start, 1 << 16) for duration, start in edits)
    content = struct.pack(">II", 0, len(edits)) + rows
    chain = _boxes(data, ("moov", f"trak{track}", "edts", "elst"))
    at, size = chain[-1]
    box = struct.pack(">I4s", 8 + len(content), b"elst") + content
    assert at > data.find(b"mdat"), "offsets into the media would have to move too"
    data[at : at + size] = box
    for start, length in chain[:-1]:
        data[start : start + 4] = struct.pack(">I", length + len(box) - size)
    path.write_bytes(data)
    return path


def _boxes(data, names):
    """(place, size) of each box on the way down to the last one; a digit at the end counts boxes of that name."""
    found, start, end = [], 0, len(data)
    for name in names:
        number, place = int(name[4:] or 0), start
        while True:
            size, kind = struct.unpack_from(">I4s", data, place)
            if kind == name[:4].encode():
                if not number:
                    break
                number -= 1
            place += size
            assert place < end, name
        found.append((place, size))
        start, end = place + 8, place + size
    return found


def set_duration(path, milliseconds):
    """Let the header of a Matroska file tell this duration."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", milliseconds)
    path.write_bytes(data)
    return path


def drop_default_duration(path):
    """Take the frame rate out of a Matroska file, as recorders in browsers leave it out."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x23\xe3\x83")
    data[at : at + 2] = bytes((0xEC, 0x80 | 2 + (data[at + 3] & 0x7F)))  # a void in its place
    path.write_bytes(data)
    return path


def step_back(path, kind, number, milliseconds):
    """Let a tag of an FLV file, number `number` of its kind (8 sound, 9 video), come earlier."""
    data, place = bytearray(path.read_bytes()), 13
    while place < len(data):
        size = int.from_bytes(data[place + 1 : place + 4])
        if data[place] == kind:
            if number == 0:
                time = int.from_bytes(data[place + 4 : place + 7]) - milliseconds
                data[place + 4 : place + 7] = time.to_bytes(3)
                break
            number -= 1
        place += 11 + size + 4
    path.write_bytes(data)
    return path
