"""One server's lane: a thread that submits jobs, has them followed to their verdict, and decides nothing.

Every job's end is read from ``/history``; the websocket only tells when to look, and without it the same is found by polling.
The caller gives jobs and takes reports; what to do about a report (the next job, a retry, giving up) is the caller's business.
Every job that is submitted or attached gets exactly one of `Finished`, `Refused`, `Cancelled` and `Broken`, until the lane is
closed.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from comfy_runner.comfyui import frames
from comfy_runner.comfyui.flights import Flights
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.patience import STALL_SECONDS, Patience
from comfy_runner.comfyui.posting import Impossible, Posting, Rejected, Submission, Taken, Unsettled
from comfy_runner.comfyui.reports import Broken, Cancelled, Refused, Report
from comfy_runner.comfyui.socket import EventSocket, SocketDown, SocketUp
from comfy_runner.errors import ComfyRunnerError, ServerError

__all__ = ["Lane", "Submission"]

_JOIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Attach:
    job: Submission


@dataclass(frozen=True, slots=True)
class _Cancel:
    keys: frozenset[str]


class _Close:
    pass


class Lane:
    """Follows jobs on one server.

    Args:
        http: The server.
        report: Takes each report, on the lane's thread; must return at once.
        with_socket: Whether to listen on the websocket too; verdicts are the same without.
        stall: Seconds that a running job may show no progress at all; without a websocket it shows none while it runs.
            Waiting behind others in the server's queue is no stall.
        total: Seconds that a job may take from its submission or attachment on, with all waiting; None for no limit.
        patience: All other waiting.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        http: ComfyHttp,
        report: Callable[[Report], None],
        *,
        with_socket: bool = True,
        stall: float = STALL_SECONDS,
        total: float | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http, self._report, self._clock = http, report, clock
        self._patience = patience or Patience()
        self._inbox: queue.SimpleQueue[Submission | _Attach | _Cancel | _Close | frames.Frame | SocketUp | SocketDown]
        self._inbox = queue.SimpleQueue()
        self._postings: dict[str, Posting] = {}
        self._flights = Flights(http, self._tell, stall=stall, total=total, patience=self._patience, clock=clock)
        self._client_id = str(uuid.uuid4())
        # Frames of a job that is posted before there is a socket are lost, so the first one waits a moment for it.
        self._post_from = clock() + self._patience.first_socket if with_socket else clock()
        self._closing = threading.Event()
        self._socket = EventSocket(http.address, self._inbox.put, patience=self._patience) if with_socket else None
        self._thread = threading.Thread(target=self._run, name=f"lane {http.address.url}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Submit a job; what becomes of it is reported."""
        self._inbox.put(submission)

    def attach(self, submission: Submission) -> None:
        """Take up a job that an earlier process of ours may have posted; it is followed like one of our own, and never posted.

        It is looked for by its id, and where the server may have chosen another, by its file prefixes, which have to be nobody
        else's. A job that the server does not have ends as `Broken` with `JobLost`. Its progress is not told: the server
        tells that process, which is gone.
        """
        self._inbox.put(_Attach(submission))

    def cancel(self, keys: Iterable[str]) -> None:
        """Take jobs back: out of the queue, or interrupted by id; nobody else's prompt is touched."""
        self._inbox.put(_Cancel(frozenset(keys)))

    def close(self) -> None:
        """Stop following; what runs on the server goes on running. There are no reports after this."""
        self._closing.set()
        self._inbox.put(_Close())
        self._thread.join(timeout=_JOIN_SECONDS)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
            except Exception as error:  # whatever it is: whoever waits for these jobs has to hear of it
                self._break_all(_unexpected(error))

    def _turn(self) -> None:
        try:
            message = self._inbox.get(timeout=self._pause())
        except queue.Empty:
            pass
        else:
            self._handle(message)
        if self._closing.is_set():
            return
        self._post_next()
        hopeless = self._flights.look()
        if hopeless is not None:
            self._break_all(hopeless)

    def _pause(self) -> float | None:
        """Return the seconds until something is to be done unasked; None for never."""
        moments = self._flights.moments()
        moments += [max(posting.at, self._post_from) for posting in self._next_posting()]
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _handle(self, message: Any) -> None:
        match message:
            case Submission(key):
                self._postings[key] = Posting(message, self._clock())
            case _Attach(job):
                self._flights.seek(job)
            case _Cancel(keys):
                self._cancel(keys)
            case SocketUp(client_id):
                self._client_id, self._post_from = client_id, self._clock()
                self._flights.hear_as(client_id)
            case SocketDown():
                self._post_from = self._clock()
                self._flights.hear_as("")
            case frames.Cached() | frames.Executing() | frames.Stepped() | frames.Ended():
                self._flights.hear(message)

    # Submitting

    def _next_posting(self) -> list[Posting]:
        # One after the other: a job that is not taken at once is not to be overtaken, for neighbours share the server's cache.
        return list(self._postings.values())[:1]

    def _post_next(self) -> None:
        now = self._clock()
        for posting in self._next_posting():
            if max(posting.at, self._post_from) <= now:
                self._post(posting)

    def _post(self, posting: Posting) -> None:
        key = posting.job.key
        match posting.attempt(self._http, self._client_id):
            case Taken() as taken:
                del self._postings[key]
                self._flights.add(posting.job, taken)
                if posting.cancelling:
                    self._flights.cancel([key])
            case Rejected(found):
                del self._postings[key]
                self._tell(Refused(key, found))
            case Impossible(error):
                del self._postings[key]
                self._tell(Broken(key, error))
            case Unsettled(error, passing):
                self._put_off(posting, error, passing=passing)
            case None:
                del self._postings[key]
                self._tell(Cancelled(key))

    def _put_off(self, posting: Posting, error: ServerError, *, passing: bool) -> None:
        now, pauses = self._clock(), self._patience.repost
        posting.failing_since = now if posting.failing_since is None else posting.failing_since
        over = now - posting.failing_since > self._patience.outage if passing else posting.failures >= len(pauses)
        if over:
            del self._postings[posting.job.key]
            self._tell(Broken(posting.job.key, error))
            return
        posting.at = now + (pauses[min(posting.failures, len(pauses) - 1)] if pauses else 0.0)
        posting.failures += 1

    # Ending

    def _cancel(self, keys: frozenset[str]) -> None:
        for key in keys & self._postings.keys():
            posting = self._postings[key]
            if posting.posted:
                posting.cancelling, posting.at = True, self._clock()
            else:
                del self._postings[key]
                self._tell(Cancelled(key))
        self._flights.cancel(keys)

    def _break_all(self, error: ComfyRunnerError) -> None:
        keys = [*self._flights.drop_all(), *self._postings]
        self._postings.clear()
        for key in keys:
            self._tell(Broken(key, error))

    def _tell(self, report: Report) -> None:
        if not self._closing.is_set():
            self._report(report)


def _unexpected(error: Exception) -> ServerError:
    what = f"cannot be followed any further: {type(error).__name__}: {error}"
    return ServerError(what, hint="this is a fault of comfy_runner; please report it")
