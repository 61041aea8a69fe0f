"""When does a sweep that was asked to stop do so? At the end of the part under way, if that is near, or else at once.

A signal is heard while a batch is waited for: an exception out of nowhere, in the middle of the import of a compiled
library, can end in a crash. A second one ends the process as it would any other.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

# Seconds that are left to finish a part: a person at the keyboard waits least; SIGTERM is followed by a kill, after
# 30 s on most clusters; USR2 is Slurm's warning before the time limit (conf/hydra/launcher/slurm.yaml: two minutes).
PATIENCE = {signal.SIGINT: 5.0, signal.SIGTERM: 20.0, signal.SIGUSR2: 90.0}


class Stopping:
    """What was asked for, and how far the part under way is."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}
        self._when = 0.0
        self._said = False
        self._part = (0, 0, 0.0)  # cells, of them done, when it began

    def listen(self) -> None:
        """From now on, and in a job of a cluster after its own handlers: they requeue what is stopped."""
        if not self._before:
            self._before = {number: signal.signal(number, self._ask) for number in PATIENCE}

    def listen_no_more(self) -> None:
        """As it was before, for as long as others compute."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: object) -> None:
        self.asked, self._when = number, time.monotonic()
        signal.signal(number, signal.SIG_DFL if number != signal.SIGUSR2 else signal.SIG_IGN)

    def begins(self, cells: int) -> None:
        """A part of so many cells begins."""
        self._part = (cells, 0, time.monotonic())
        self.check()

    def goes_on(self, cells: int) -> None:
        """So many more of its cells are done."""
        of, done, began = self._part
        self._part = (of, done + cells, began)
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt with the signal's number if it is time to stop."""
        if self.asked is None:
            return
        of, done, began = self._part
        now = time.monotonic()
        left = (now - began) * (of - done) / done if done else float("inf")
        if now + left > self._when + PATIENCE[signal.Signals(self.asked)]:
            raise KeyboardInterrupt(self.asked)
        if not self._said:
            self._said = True
            print(f"stopping: the part under way is finished first, {left:.0f} s or so", file=sys.stderr, flush=True)

    def hand_on(self) -> None:
        """Let the handler that was there before have the signal: a cluster's requeues the job, and ends it."""
        before = self._before.get(self.asked or 0)
        if callable(before) and self.asked == signal.SIGUSR2:
            before(self.asked, None)
