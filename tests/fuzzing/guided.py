"""Let atheris look for bytes that lead the container's reader into parts of its code that none has led to before.

`python -m fuzzing.guided FOLDER -max_total_time=60`, in tests/; the rest of the options are libFuzzer's. A finding is
left as a file `crash-...`; FOLDER keeps what leads somewhere new. Checksums are put right before each try.
"""

import sys
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["snerv_codec.bitstream"]):
    from snerv_codec.bitstream import container, sections
    from snerv_codec.bitstream.errors import BitstreamError

from fuzzing.samples import samples, seeds

MOST = 1 << 12  # bytes of an input: large ones are slow and lead to nothing new
FINDINGS = Path(__file__).parent / "findings"


def mend(data: bytes) -> bytes:
    """The file with the right checksums, as far as it has sections."""
    if len(data) < sections.PROLOGUE_SIZE:
        return data
    parts, place = [sections.write_prologue()], sections.PROLOGUE_SIZE
    while place + sections.HEADER_SIZE <= len(data):
        kind, flags = data[place : place + 4], data[place + 4]
        size = min(int.from_bytes(data[place + 5 : place + 13], "little"), len(data))
        payload = data[place + sections.HEADER_SIZE :][:size]
        section = bytearray(sections.write_section(kind, payload))
        if flags:
            section[4] = flags  # its checksum is wrong, as it may be
        parts.append(bytes(section))
        place += sections.FRAMING_SIZE + size
    return b"".join(parts)


def read(data: bytes) -> None:
    """What is tried; whatever it raises is a finding."""
    mended = mend(data)
    with suppress(BitstreamError):
        container.read_stream(mended)


def main() -> None:
    """Fill the folder with the samples, and go on until libFuzzer ends the process."""
    FINDINGS.mkdir(exist_ok=True)
    folder = next((Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate((*samples(), *(path.read_bytes() for path in seeds()))):
            if len(sample) <= MOST:
                (folder / f"sample-{number}").write_bytes(sample)
    atheris.Setup([*sys.argv, f"-max_len={MOST}"], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
