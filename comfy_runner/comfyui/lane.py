"""One server's lane: a thread that submits jobs, follows them to their verdict, and decides nothing.

Every job's end is read from ``/history``; the websocket only tells when to look, and without it the same is found by polling.
The caller gives jobs and takes reports; what to do about a report (the next job, a retry, giving up) is the caller's business.
Every job that is submitted gets exactly one of `Finished`, `Refused`, `Cancelled` and `Broken`, until the lane is closed.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from comfy_runner.comfyui import frames
from comfy_runner.comfyui.health import Health
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.comfyui.patience import STALL_SECONDS, Patience
from comfy_runner.comfyui.posting import Impossible, Posting, Rejected, Submission, Taken, Unsettled
from comfy_runner.comfyui.refusal import Complaint
from comfy_runner.comfyui.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Finished,
    NodeProgress,
    Refused,
    Report,
    Submitted,
    TakenInPart,
    Waiting,
)
from comfy_runner.comfyui.socket import EventSocket, SocketDown, SocketUp
from comfy_runner.comfyui.verdict import Place, find_in_queue, judge
from comfy_runner.errors import ComfyRunnerError, JobFailed, JobLost, ServerError, ServerStuck

__all__ = ["Lane", "Submission"]

_JOIN_SECONDS = 3.0


@dataclass(slots=True)
class _Flight:
    """A job that the server has. `refusal` is set where it took only a part, which is to go."""

    key: str
    prompt_id: str
    client_id: str
    refusal: tuple[Complaint, ...]
    since: float
    moved_at: float
    look_at: float
    place: Place | None = None
    missing: int = 0
    cancelled_at: float | None = None
    interrupted_at: float = float("-inf")


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
        total: Seconds that a job may take from its submission on, with all waiting; None for no limit.
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
        self._stall, self._total = stall, total
        self._patience = patience or Patience()
        self._inbox: queue.SimpleQueue[Submission | _Cancel | _Close | frames.Frame | SocketUp | SocketDown]
        self._inbox = queue.SimpleQueue()
        self._postings: dict[str, Posting] = {}
        self._flights: dict[str, _Flight] = {}
        self._client_id = str(uuid.uuid4())
        self._socket_is_up = False
        # Frames of a job that is posted before there is a socket are lost, so the first one waits a moment for it.
        self._post_from = clock() + self._patience.first_socket if with_socket else clock()
        self._queue_at = float("-inf")
        self._health = Health(self._patience)
        # A prompt of ours that has ended: whether the server still knows it tells a restart from a deletion.
        self._witness = ""
        self._closing = threading.Event()
        self._socket = EventSocket(http.address, self._inbox.put, patience=self._patience) if with_socket else None
        self._thread = threading.Thread(target=self._run, name=f"lane {http.address.url}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Submit a job; what becomes of it is reported."""
        self._inbox.put(submission)

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
        self._look()

    def _pause(self) -> float | None:
        """Return the seconds until something is to be done unasked; None for never."""
        moments = [flight.look_at for flight in self._flights.values()]
        moments += [max(posting.at, self._post_from) for posting in self._next_posting()]
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _handle(self, message: Any) -> None:
        match message:
            case Submission(key):
                self._postings[key] = Posting(message, self._clock())
            case _Cancel(keys):
                self._cancel(keys)
            case SocketUp(client_id):
                self._client_id, self._socket_is_up = client_id, True
                self._post_from = self._clock()
            case SocketDown():
                self._socket_is_up = False
                self._post_from = self._clock()
            case frames.Cached() | frames.Executing() | frames.Stepped() | frames.Ended():
                self._handle_frame(message)

    def _handle_frame(self, frame: frames.Cached | frames.Executing | frames.Stepped | frames.Ended) -> None:
        flight = next((flight for flight in self._flights.values() if flight.prompt_id == frame.prompt_id), None)
        if flight is None or flight.refusal:
            return
        flight.moved_at = self._clock()
        match frame:
            case frames.Ended():
                flight.look_at = self._clock()
            case frames.Cached(_, nodes):
                flight.place = Place(running=True, ahead=0)
                self._tell(CachedNodes(flight.key, nodes))
            case frames.Executing(_, node):
                self._tell(NodeProgress(flight.key, node, 0, 0))
            case frames.Stepped(_, node, step, steps):
                self._tell(NodeProgress(flight.key, node, step, steps))

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
            case Taken(prompt_id, client_id, found):
                del self._postings[key]
                now = self._clock()
                # A job that cannot give all its pictures is not to give some, unless it may: what was queued is taken back.
                refusal = () if posting.job.allow_partial else found
                flight = self._flights[key] = _Flight(key, prompt_id, client_id, refusal, now, now, now)
                if not refusal:
                    self._tell(Submitted(key, prompt_id))
                    if found:
                        self._tell(TakenInPart(key, found))
                if refusal or posting.cancelling:
                    self._cancel_flight(flight)
                else:
                    self._schedule(flight)
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

    # Cancelling

    def _cancel(self, keys: frozenset[str]) -> None:
        for key in keys & self._postings.keys():
            posting = self._postings[key]
            if posting.posted:
                posting.cancelling, posting.at = True, self._clock()
            else:
                del self._postings[key]
                self._tell(Cancelled(key))
        for key in keys & self._flights.keys():
            self._cancel_flight(self._flights[key])

    def _cancel_flight(self, flight: _Flight) -> None:
        flight.cancelled_at = flight.look_at = self._clock()
        self._queue_at = float("-inf")

    def _take_back(self, flight: _Flight, found: Mapping[str, Any]) -> None:
        """Take a job out of the queue, or interrupt it; `found` is the queue as it was a moment ago."""
        place = find_in_queue(found, flight.prompt_id)
        if place is not None and not place.running:
            self._http.delete_pending([flight.prompt_id])
            place = find_in_queue(self._http.queue(), flight.prompt_id)
        # Older servers interrupt whatever runs: only what was seen running is interrupted. Once more after a while, for a
        # prompt that is just being started wipes the interrupt.
        now = self._clock()
        if place is not None and place.running and now - flight.interrupted_at >= self._patience.queue:
            self._http.interrupt(flight.prompt_id)
            flight.interrupted_at = now

    # Looking after jobs

    def _look(self) -> None:
        now = self._clock()
        self._watch_totals(now)
        due = [flight for flight in self._flights.values() if flight.look_at <= now]
        if not due:
            return
        try:
            for flight in due:
                self._look_at(flight)
            if self._flights and now - self._queue_at >= self._patience.queue:
                self._look_at_queue()
        except ServerError as error:
            self._note_outage(error)
        else:
            self._health.answered()
        for flight in due:
            self._schedule(flight)

    def _look_at(self, flight: _Flight) -> bool:
        entry = self._http.history(flight.prompt_id)
        if entry is None:
            return False
        self._witness = flight.prompt_id
        self._end(flight, Finished(flight.key, judge(entry)))
        return True

    def _look_at_queue(self) -> None:
        """Tell jobs that wait, run or are gone apart; the queue is read before the history, never after."""
        self._queue_at = self._clock()
        found = self._http.queue()
        for flight in list(self._flights.values()):
            place = find_in_queue(found, flight.prompt_id)
            if place is not None:
                self._place(flight, place)
            elif not self._look_at(flight):
                flight.missing += 1
                if flight.missing > 1:
                    self._end(flight, self._gone(flight))
            if flight.cancelled_at is not None or flight.missing:
                # What was taken back, or seems lost, is looked for again as soon as it is looked at.
                self._queue_at = float("-inf")
        # What waits goes first: otherwise the server would start it when what runs is interrupted.
        unwanted = [flight for flight in self._flights.values() if flight.cancelled_at is not None and not flight.missing]
        for flight in sorted(unwanted, key=lambda flight: flight.place is not None and flight.place.running):
            self._take_back(flight, found)
        self._watch_for_standstill(found)

    def _place(self, flight: _Flight, place: Place) -> None:
        flight.missing = 0
        if place != flight.place:
            flight.moved_at = self._clock()
            if not place.running and not flight.refusal:
                self._tell(Waiting(flight.key, place.ahead))
        flight.place = place

    def _gone(self, flight: _Flight) -> Report:
        if flight.cancelled_at is not None:
            return Cancelled(flight.key)
        hint = f"{self._why_gone()}; run the same command again"
        return Broken(
            flight.key, JobLost(f"no longer knows the prompt {flight.prompt_id}", where=self._http.address.url, hint=hint)
        )

    def _why_gone(self) -> str:
        """Tell a restart, which forgets everything, from a prompt that alone is gone; as far as earlier prompts tell."""
        if not self._witness:
            return "it was restarted, or somebody deleted the prompt"
        remembers = self._http.history(self._witness) is not None
        return "somebody deleted the prompt" if remembers else "it was restarted, or its history was cleared"

    def _watch_totals(self, now: float) -> None:
        if self._total is None:
            return
        for flight in [flight for flight in self._flights.values() if now - flight.since > self._total]:
            try:
                self._take_back(flight, self._http.queue())
            except ServerError as error:
                self._note_outage(error)
            what = f"has taken longer than {self._total:g} s"
            self._end(flight, Broken(flight.key, JobFailed(what, where=flight.key, hint="allow it more time")))

    def _watch_for_standstill(self, found: Mapping[str, Any]) -> None:
        now = self._clock()
        for flight in list(self._flights.values()):
            if flight.place is not None and flight.place.running and now - flight.moved_at > self._stall:
                self._break_all(self._stuck(f"has not got on with the prompt {flight.prompt_id} for {self._stall:g} s"))
        if self._health.stands_still(found, now):
            self._break_all(self._stuck("accepts prompts and runs none: its worker thread has died"))

    def _stuck(self, what: str) -> ServerStuck:
        return ServerStuck(what, where=self._http.address.url, hint="restart ComfyUI, then run the same command again")

    def _note_outage(self, error: ServerError) -> None:
        if self._health.failed(self._clock()):
            self._break_all(error)

    def _break_all(self, error: ComfyRunnerError) -> None:
        keys = [*self._flights, *self._postings]
        self._flights.clear()
        self._postings.clear()
        self._health.forget()
        for key in keys:
            self._tell(Broken(key, error))

    def _end(self, flight: _Flight, report: Report) -> None:
        if self._flights.pop(flight.key, None) is not None:
            self._tell(Refused(flight.key, flight.refusal) if flight.refusal else report)

    def _schedule(self, flight: _Flight) -> None:
        now = self._clock()
        told = self._socket_is_up and flight.client_id == self._client_id
        age = now - flight.since
        if flight.cancelled_at is not None:
            age, told = now - flight.cancelled_at, False
        elif flight.missing:
            age, told = 0.0, False
        # Nothing is gained by asking a server that does not answer as often as one that does.
        flight.look_at = now + self._patience.until_next_look(age, told=told or self._health.failing)

    def _tell(self, report: Report) -> None:
        if not self._closing.is_set():
            self._report(report)


def _unexpected(error: Exception) -> ServerError:
    what = f"cannot be followed any further: {type(error).__name__}: {error}"
    return ServerError(what, hint="this is a fault of comfy_runner; please report it")
