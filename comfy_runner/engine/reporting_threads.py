"""An engine's threads for slow work such as collecting files: every task ends with exactly one report, even if it fails."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from comfy_runner.engine.reports import Crashed, EngineReport

_THREADS: Final = 4


class ReportingThreads:
    """A few threads, which start when there is work for them.

    Args:
        report: Receives the report of each task, on these threads.
    """

    def __init__(self, report: Callable[[EngineReport], None]) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="collect")

    def do(self, work: Callable[[], EngineReport]) -> None:
        """Start a task; an exception in it is reported as `Crashed`.

        Args:
            work: Does the task and returns its report.
        """
        self._pool.submit(self._work, work)

    def close(self) -> None:
        """Wait for the tasks that are running, and drop those that have not started."""
        self._pool.shutdown(cancel_futures=True)

    def _work(self, work: Callable[[], EngineReport]) -> None:
        try:
            self._report(work())
        except BaseException as error:  # it has to reach the thread that waits for the report
            self._report(Crashed(error))
