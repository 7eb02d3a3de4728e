"""The threads of an engine for what takes long, such as collecting: each piece of work ends with one report, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from comfy_runner.engine.reports import Crashed, EngineReport

_THREADS: Final = 4


class ReportingThreads:
    """A few threads, which begin when there is work for them.

    Args:
        report: Takes the report of each piece of work, on these threads.
    """

    def __init__(self, report: Callable[[EngineReport], None]) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="collect")

    def do(self, work: Callable[[], EngineReport]) -> None:
        """Have work done; what it raises is reported as `Crashed`.

        Args:
            work: Returns its report.
        """
        self._pool.submit(self._work, work)

    def close(self) -> None:
        """Wait for what is being done; what has not begun is not done any more."""
        self._pool.shutdown(cancel_futures=True)

    def _work(self, work: Callable[[], EngineReport]) -> None:
        try:
            self._report(work())
        except BaseException as error:  # it has to reach the thread that waits for the report
            self._report(Crashed(error))
