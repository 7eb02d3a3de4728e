"""A run that browsers watch: a thread that looks at it while any is there, and puts what is new into the feed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from comfy_runner.errors import ComfyRunnerError
from comfy_runner.report.suggest import Limits
from comfy_runner.report.writer import MADE_FROM
from comfy_runner.store.ledger import FILE
from comfy_runner.store.run_folder import REPORT_FILES
from comfy_runner.text_files import url_of
from comfy_runner.watch.feed import Feed
from comfy_runner.watch.run_page import JOB, RunPage
from comfy_runner.watch.sources import RunSource

_WATCHED_SECONDS = 10.0  # after a browser was last heard of
_LEAST_OF_TIME = 4  # of reading the folder of a large run, so that this costs a fifth of a core at most
_ELSEWHERE_SECONDS = 30.0  # between two looks at a run folder at a URL, which others may write
_JOIN_SECONDS = 3.0


class Watching:
    """A run that browsers watch. Where none does, nothing is looked at.

    Args:
        folder: The run folder.
        source: What tells of the run besides.
        limits: Gives the limits of the suggestion; None for the usual ones.

    Attributes:
        feed: What browsers are told.
        page: What there is to show.
        source: As given.
        is_closing: Set when no browser is to be told anything more.

    Raises:
        RunFolderError: Thumbnails would be written past a symbolic link.
    """

    def __init__(self, folder: Path, source: RunSource, *, limits: Callable[[], Limits] | None = None) -> None:
        self.feed, self.page, self.source = Feed(), RunPage(folder, limits), source
        self.is_closing = threading.Event()
        self._seen_at = -math.inf
        self._lock = threading.Lock()
        self._stamp: object = None
        self._read_at = self._read_from = -math.inf
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)
        self._thread.start()

    def seen(self) -> None:
        """Note that a browser is there."""
        self._seen_at = time.monotonic()

    def html(self) -> str:
        """Return the page, as `RunPage.html` does."""
        self.seen()
        self.refresh(at_once=True)
        # What changes from here on is in the page, or told afterwards; perhaps both.
        cursor, values = self.feed.now()
        told = {name: value for name, value in values.items() if not name.startswith(JOB)}
        return self.page.html(cursor, told, is_live=self.source.is_live)

    def refresh(self, *, at_once: bool = False) -> None:
        """Put into the feed what is new; what goes wrong, too.

        Args:
            at_once: Read the run folder also where that was done a moment ago.
        """
        with self._lock:
            try:
                self._look(at_once)
                problem = ""
            except ComfyRunnerError as error:
                problem = str(error)
            except Exception as error:  # a fault of ours; whoever watches has to hear of it
                problem = f"{type(error).__name__}: {error}"
            self.feed.put({"problem": problem})

    def close(self) -> None:
        """Look no more; streams that are open end."""
        self.is_closing.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self.is_closing.wait(self.source.pause):
            if time.monotonic() - self._seen_at < _WATCHED_SECONDS:
                self.refresh()

    def _look(self, at_once: bool) -> None:
        is_live = self.source.is_live
        values = self.source.values()
        # Taken before reading: what is written meanwhile is read next time.
        stamp, now = (is_live, _stamp(self.page.folder)), time.monotonic()
        is_old = bool(url_of(self.page.folder)) and now - self._read_at > _ELSEWHERE_SECONDS
        if (stamp != self._stamp and (at_once or now >= self._read_from)) or not self.page.is_complete or is_old:
            values |= self.page.values(is_live=is_live)
            took = time.monotonic() - now
            self._stamp, self._read_at, self._read_from = stamp, now, now + took * _LEAST_OF_TIME
        self.feed.put(values)


def _stamp(folder: Path) -> list[object]:
    """Return what is another value once the ledger, or the report, has been written."""
    return [_state(folder / name) for name in (FILE, f"{FILE}-wal", f"{REPORT_FILES}/{MADE_FROM}")]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
