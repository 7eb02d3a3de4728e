"""The threads that give jobs the pictures of other ones, beside the coordinator; no server is needed for that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from comfy_runner.collect.dedup import share
from comfy_runner.engine.reports import Crashed
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.planning.draft import Draft
from comfy_runner.running.state import Shared
from comfy_runner.store.run_folder import RunFolder

_THREADS = 4


class Sharers:
    """A small pool of threads that give jobs the pictures of other ones; no server is needed for that.

    Args:
        folder: Where the pictures are.
        report: Takes what was done, on any thread; must return at once.
    """

    def __init__(self, folder: RunFolder, report: Callable[[Shared | Crashed], None]) -> None:
        self._folder, self._report = folder, report
        self._hurry = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="share")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def hurry(self) -> None:
        """Share nothing more; the next process does."""
        self._hurry.set()

    def share(self, draft: Draft, leader_id: str, leader_hash: str, error: ComfyRunnerError | None) -> None:
        """Give a job another one's pictures; reported as `Shared`.

        Args:
            draft: The job.
            leader_id: The one that has pictures.
            leader_hash: What that is.
            error: Why it does not have all of them; None where it does.
        """
        self._pool.submit(_guarded, self._report, self._share, draft, leader_id, leader_hash, error)

    def _share(self, draft: Draft, leader_id: str, leader_hash: str, error: ComfyRunnerError | None) -> None:
        if self._hurry.is_set():
            self._report(Shared(draft.job_id, leader_id, None, None))
            return
        files = share(self._folder, draft, leader_id, leader_hash=leader_hash, partial=error is not None)
        self._report(Shared(draft.job_id, leader_id, files, error))


def _guarded(report: Callable[[Crashed], None], work: Callable[..., None], *args: object) -> None:
    try:
        work(*args)
    except BaseException as crash:  # a fault of ours, or a folder that takes nothing; the coordinator takes it to the caller
        report(Crashed(crash))
