"""Who is answered when a person asks faster than a computer computes? The newest request, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from bokeh.document import Document

Wanted = Callable[[], bool]


class Requests:
    """Requests of one page. They are worked on beside the event loop, and shown by it.

    Args:
        failed: told what went wrong with a request that is still wanted.
    """

    def __init__(self, document: Document, pool: Executor, failed: Callable[[str], None]) -> None:
        self.document, self.pool, self.failed = document, pool, failed
        self._newest = 0

    def begin(self) -> Wanted:
        """A new request; gives back the question whether it is still the newest."""
        self._newest += 1
        mine = self._newest
        return lambda: self._newest == mine

    def stop(self) -> None:
        """Nobody looks any more: what is computed ends at its next step."""
        self._newest += 1

    def submit(self, wanted: Wanted, work: Callable[[], None]) -> None:
        """Do this in another thread, unless it is superseded before its turn comes."""
        self.pool.submit(self._guarded, wanted, work)

    def tell(self, wanted: Wanted, show: Callable[[], None]) -> None:
        """Show something at the event loop's next turn, if it is still wanted then."""
        self.document.add_next_tick_callback(lambda: show() if wanted() else None)

    def _guarded(self, wanted: Wanted, work: Callable[[], None]) -> None:
        if not wanted():
            return
        try:
            work()
        except Exception as problem:  # whatever it is, it is said on the page, which goes on
            said = str(problem)
            self.tell(wanted, lambda: self.failed(said))
