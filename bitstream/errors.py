"""What can be wrong with a stream.

BitstreamError
├── NotAStream          the first bytes are not a `.snrv` signature
├── UnsupportedVersion  a newer major version, or a mandatory part that this reader does not know
├── Truncated           the bytes end before what they announce
├── Corrupt             a checksum fails, or a value contradicts another or its own range
│   └── Damaged         a section's checksum fails: what others hold may be whole
├── LimitExceeded       larger than the format allows or than this reader accepts
└── MissingExtra        the stream needs an optional package that is not installed
"""

from collections.abc import Iterator
from contextlib import contextmanager


class BitstreamError(Exception):
    """A `.snrv` stream that cannot be read or written; the message is one line fit for a user."""


class NotAStream(BitstreamError):
    """The bytes are not a `.snrv` stream at all."""


class UnsupportedVersion(BitstreamError):
    """The stream needs a newer reader."""


class Truncated(BitstreamError):
    """The stream ends too early."""


class Corrupt(BitstreamError):
    """A checksum or a consistency check failed."""


class Damaged(Corrupt):
    """The checksum of a section failed; the others may be whole."""


class LimitExceeded(BitstreamError):
    """A size in the stream is above a stated limit."""


class MissingExtra(BitstreamError):
    """Reading or writing the stream needs a package that is not installed; the message says which."""


@contextmanager
def naming(name: object) -> Iterator[None]:
    """Put the name of the file before the message of what is wrong with it; nothing for an empty name."""
    try:
        yield
    except BitstreamError as error:
        if name and not str(error).startswith(f"{name}: "):
            raise type(error)(f"{name}: {error}") from error
        raise


@contextmanager
def contradictions_are_corrupt() -> Iterator[None]:
    """The types refuse values that make no sense; from a file, that means it is corrupt."""
    try:
        yield
    except ValueError as error:
        raise Corrupt(str(error)) from error
