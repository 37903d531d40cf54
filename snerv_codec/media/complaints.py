"""What FFmpeg's decoders complain about, where that is all one hears of damage."""

import time
from threading import Lock

import av.logging

MUTE = ("ffv1", "theora")  # decoders that conceal what is damaged without marking the frame


class Complaints:
    """Listens to FFmpeg's messages from its making until `close`.

    The messages go nowhere: they are only counted. Several listeners may overlap; the last one to close restores
    what was set before the first.
    """

    _lock = Lock()
    _listening = 0
    _before: int | None = None

    def __init__(self) -> None:
        cls = Complaints
        with cls._lock:
            if not cls._listening:
                cls._before = av.logging.get_level()
                av.logging.set_level(av.logging.FATAL)  # errors are counted even so
            cls._listening += 1
        self._heard, self._open = av.logging.get_last_error()[0], True

    def new(self) -> str | None:
        """The last message since the last call; None where there was none."""
        count, last = av.logging.get_last_error()
        if count == self._heard:
            return None
        self._heard = count
        return str(last[2]).strip() if last else ""

    def close(self) -> None:
        """Stop listening."""
        cls = Complaints
        with cls._lock:
            if not self._open:
                return
            self._open = False
            cls._listening -= 1
            if not cls._listening:
                av.logging.set_level(cls._before)
        time.sleep(0)  # a decoder's thread that is about to tell something gets through before its decoder is closed
