"""What is told of a run besides its folder: by the events of a run of this process, or as far as a look from outside tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from comfy_runner.control.cancel import cancel
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.running import events
from comfy_runner.running.run_progress import RunProgress
from comfy_runner.running.server_jobs import FleetJobs, JobOnServer, ServerJobs
from comfy_runner.store.control_files import request_cancel
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.local import folder_errors
from comfy_runner.store.lock import holder

_SERVER = "server:"
_PREVIEW = "preview:"


class RunSource(Protocol):
    """Tells of a run; its methods may be called by any thread, and return at once.

    Attributes:
        pause: Seconds between two looks at its values.
    """

    pause: float

    @property
    def is_live(self) -> bool:
        """Return whether the run goes on."""
        ...

    def values(self) -> dict[str, Any]:
        """Return what browsers are told, by name, as JSON has it; of what is over, None."""
        ...

    def preview(self, job_id: str) -> bytes | None:
        """Return the newest preview of a job, a JPEG; None where there is none."""
        ...

    def cancel(self) -> None:
        """Ask the run to end, as `comfy-runner cancel` does.

        Raises:
            RunFolderError: The run folder cannot be written.
        """
        ...


class LiveRun:
    """A run of this process, told of by its events.

    Args:
        folder: Its run folder.
        clock: Tells the time in seconds.
    """

    pause = 0.25

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._progress, self._fleet = RunProgress(clock), FleetJobs(clock)
        self._previews: dict[str, tuple[int, bytes]] = {}
        self._state = "running"
        self._told: set[str] = set()

    def follow(self, event: events.Event) -> None:
        """Take an event of the run; this waits for no browser."""
        with self._lock:
            self._progress.follow(event)
            self._fleet.follow(event)
            match event:
                case events.JobPreviewed(job_id, image):
                    self._previews[job_id] = self._previews.get(job_id, (0, b""))[0] + 1, image
                case events.JobRetried(job_id):
                    self._previews.pop(job_id, None)
                case events.JobFinished(result):
                    self._previews.pop(result.job_id, None)
                case events.RunFinished():
                    self._state = "ended"
                    self._previews.clear()

    @property
    def is_live(self) -> bool:
        """See `RunSource.is_live`."""
        return self._state != "ended"

    def values(self) -> dict[str, Any]:
        """See `RunSource.values`."""
        with self._lock:
            progress, is_live = self._progress, self.is_live
            left = progress.seconds_left if is_live else None
            run = {
                "state": self._state,
                "jobs": progress.jobs,
                "finished": progress.finished,
                "share": round(progress.share, 3),
                # To the second it would be another one all the time.
                "left": None if left is None else round(left / 5) * 5,
                "problem": "",
            }
            found: dict[str, Any] = {"run": run}
            if is_live:
                found |= {_SERVER + name: _server(server) for name, server in self._fleet.servers.items()}
                found |= {_PREVIEW + job_id: number for job_id, (number, _) in self._previews.items()}
            self._told, over = set(found), self._told - found.keys()
            return dict.fromkeys(over) | found

    def preview(self, job_id: str) -> bytes | None:
        """See `RunSource.preview`."""
        with self._lock:
            return self._previews.get(job_id, (0, None))[1]

    def cancel(self) -> None:
        """See `RunSource.cancel`."""
        with self._lock:
            if self._state != "running":
                return
            self._state = "ending"
        self._request_cancel()

    def _request_cancel(self) -> None:
        with folder_errors(self._folder):
            request_cancel(self._folder)


class LiveSearch(LiveRun):
    """A search of this process: one run after the other of the same folder, until `end`.

    Args:
        folder: Its run folder.
        clock: Tells the time in seconds.
    """

    _is_running = False

    def follow(self, event: events.Event) -> None:
        """See `LiveRun.follow`."""
        match event:
            case events.RunStarted():
                with self._lock:
                    self._progress, self._is_running = RunProgress(self._clock), True
                super().follow(event)
                if self.is_ending:  # since the last run ended
                    self._request_cancel()
            case events.RunFinished():
                self._is_running = False
            case _:
                super().follow(event)

    @property
    def is_ending(self) -> bool:
        """Whether somebody has asked the search to end."""
        return self._state == "ending"

    def end(self) -> None:
        """Note that the search has ended."""
        super().follow(events.RunFinished(()))

    def values(self) -> dict[str, Any]:
        """See `RunSource.values`; how much of it is done, a search does not know."""
        found = super().values()
        return found | {"run": found["run"] | {"left": None, "is_search": True}}

    def _request_cancel(self) -> None:
        if self._is_running:
            super()._request_cancel()


class FolderRun:
    """A run of another process, or none that goes on: what its ledger and its lock tell.

    Args:
        folder: Its run folder.
    """

    pause = 1.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_ending, self._problem = False, ""
        self._told: set[str] = set()

    @property
    def is_live(self) -> bool:
        """See `RunSource.is_live`."""
        return holder(self._folder) is not None

    def values(self) -> dict[str, Any]:
        """See `RunSource.values`."""
        is_live = self.is_live
        with Ledger(self._folder / FILE, readonly=True) as ledger:
            counts = ledger.counts()
            submissions = ledger.open_submissions() if is_live else []
        jobs, finished = sum(counts.values()), sum(counts[state] for state in ("done", "partial", "failed", "cancelled"))
        state = "ended" if not is_live else "ending" if self._is_ending else "running"
        run = {"state": state, "jobs": jobs, "finished": finished, "share": round(finished / jobs, 3) if jobs else 0.0}
        found: dict[str, Any] = {"run": {**run, "left": None, "problem": self._problem}}
        servers: dict[str, ServerJobs] = {}
        for submission in submissions:
            its = servers.setdefault(submission.server, ServerJobs(submission.server))
            its.jobs |= dict.fromkeys(submission.job_ids, JobOnServer())
        found |= {_SERVER + name: _server(server) for name, server in servers.items()}
        self._told, over = set(found), self._told - found.keys()
        return dict.fromkeys(over) | found

    def preview(self, job_id: str) -> bytes | None:  # noqa: ARG002 - as of `RunSource`
        """See `RunSource.preview`: only the process that renders hears of them."""
        return None

    def cancel(self) -> None:
        """See `RunSource.cancel`; what comes of it is among the values, since it takes as long as servers do."""
        if not self._is_ending and self.is_live:
            self._is_ending, self._problem = True, ""
            threading.Thread(target=self._cancel, name="cancel", daemon=True).start()

    def _cancel(self) -> None:
        try:
            cancel(self._folder)
        except ComfyRunnerError as error:
            self._problem = str(error)
        finally:
            self._is_ending = False


def _server(server: ServerJobs) -> dict[str, Any]:
    return {
        "stage": server.stage,
        "why": server.error.problems[0].what if server.error is not None else "",
        "done": server.done,
        "current": server.current,
        "jobs": [
            {
                "id": job_id,
                "node": job.node,
                "step": job.step,
                "steps": job.steps,
                "fraction": round(job.fraction, 3),
                "ahead": job.ahead,
            }
            for job_id, job in server.jobs.items()
        ],
    }
