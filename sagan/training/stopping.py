"""Signals that ask a process to leave: work is stopped where it can go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignal:
    """While it is entered, SIGTERM, SIGINT and SIGHUP only set `asked`, so that a step is never cut in two.

    A SIGHUP that is ignored (`nohup`) stays so.
    """

    def __init__(self) -> None:
        self.asked = False
        self._raises: Exception | None = None

    def __enter__(self) -> StopSignal:
        chosen = [s for s in _SIGNALS if s != signal.SIGHUP or signal.getsignal(s) is not signal.SIG_IGN]
        self._previous = {s: signal.signal(s, self._note) for s in chosen}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self, error: Exception) -> Iterator[None]:
        """In the block a signal raises this error too, also one from before: for work that may be left at any time."""
        self._raises = error
        try:
            if self.asked:
                raise error
            yield
        finally:
            self._raises = None

    def _note(self, number: int, frame: object) -> None:
        self.asked = True
        if self._raises is not None:
            raise self._raises
