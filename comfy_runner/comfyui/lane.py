"""One server's lane: a thread that submits jobs, follows them to their verdict, and decides nothing.

Every job's end is read from ``/history``; the websocket only tells when to look, and without it the same is found by polling.
The caller gives jobs and takes reports; what to do about a report (the next job, a retry, giving up) is the caller's business.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfy_runner.comfyui import frames
from comfy_runner.comfyui.http import Answer, ComfyHttp
from comfy_runner.comfyui.refusal import complaints
from comfy_runner.comfyui.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Finished,
    NodeProgress,
    Refused,
    Report,
    Submitted,
    Waiting,
)
from comfy_runner.comfyui.socket import EventSocket, SocketDown, SocketUp
from comfy_runner.comfyui.verdict import Place, find_in_queue, judge
from comfy_runner.errors import JobLost, ServerError, ServerRefused, ServerStuck, Unreachable

_SOCKET_SECONDS = 3.0
_SUBMIT_PAUSES = (0.2, 0.5, 1.0, 2.0)
_OUTAGE_SECONDS = 60.0
_STUCK_SECONDS = 10.0
_QUEUE_SECONDS = 1.0
# A job is looked after at a fraction of its age, within bounds: short jobs lose nothing, long ones cost nothing.
_POLL_FRACTION, _POLL_SHORTEST, _POLL_LONGEST = 0.1, 0.01, 1.0
_POLL_WITH_SOCKET = 0.2


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to submit.

    Attributes:
        key: The caller's name for it.
        prompt_id: A canonical lower-case UUID.
        workflow: The API-format graph.
        pnginfo: Text chunks for its PNG files.
    """

    key: str
    prompt_id: str
    workflow: Mapping[str, Any]
    pnginfo: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _InFlight:
    key: str
    prompt_id: str
    client_id: str
    since: float
    look_at: float
    place: Place | None = None
    missing: int = 0
    cancelling: bool = False


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
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        http: ComfyHttp,
        report: Callable[[Report], None],
        *,
        with_socket: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._report = report
        self._clock = clock
        self._inbox: queue.SimpleQueue[Submission | _Cancel | _Close | frames.Frame | SocketUp | SocketDown]
        self._inbox = queue.SimpleQueue()
        self._flights: dict[str, _InFlight] = {}
        self._client_id = str(uuid.uuid4())
        self._socket_is_up = False
        self._queue_at = 0.0
        self._outage_since: float | None = None
        self._idle_since: float | None = None
        self._closing = False
        self._socket = EventSocket(http.address, self._inbox.put) if with_socket else None
        self._thread = threading.Thread(target=self._run, name=f"lane {http.address.url}", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> None:
        """Submit a job; what becomes of it is reported."""
        self._inbox.put(submission)

    def cancel(self, keys: Iterable[str]) -> None:
        """Take jobs back: out of the queue, or interrupted by id; nobody else's prompt is touched."""
        self._inbox.put(_Cancel(frozenset(keys)))

    def close(self) -> None:
        """Stop following; what runs on the server goes on running."""
        self._inbox.put(_Close())
        self._thread.join(timeout=_SOCKET_SECONDS)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        if self._socket is not None:
            self._await_socket()
        while not self._closing:
            try:
                message = self._inbox.get(timeout=self._patience())
            except queue.Empty:
                pass
            else:
                self._handle(message)
            self._look()

    def _await_socket(self) -> None:
        """Give the first connection a moment, so that the first job's frames are not missed."""
        waiting: list[Any] = []
        deadline = self._clock() + _SOCKET_SECONDS
        while (left := deadline - self._clock()) > 0:
            try:
                message = self._inbox.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(message, (SocketUp, SocketDown, _Close)):
                self._handle(message)
                break
            waiting.append(message)
        for message in waiting:
            self._handle(message)

    def _patience(self) -> float | None:
        if not self._flights:
            return None
        return max(0.0, min(flight.look_at for flight in self._flights.values()) - self._clock())

    def _handle(self, message: Any) -> None:
        match message:
            case Submission():
                self._submit(message)
            case _Cancel(keys):
                self._cancel(keys)
            case _Close():
                self._closing = True
            case SocketUp(client_id):
                self._client_id, self._socket_is_up = client_id, True
            case SocketDown():
                self._socket_is_up = False
            case frames.QueueChanged():
                pass
            case _:
                self._handle_frame(message)

    def _handle_frame(self, frame: frames.Cached | frames.Executing | frames.Stepped | frames.Ended) -> None:
        flight = self._flights.get(frame.prompt_id)
        if flight is None:
            return
        match frame:
            case frames.Ended():
                flight.look_at = self._clock()
            case frames.Cached(_, nodes):
                flight.place = Place(running=True, ahead=0)
                self._report(CachedNodes(flight.key, nodes))
            case frames.Executing(_, node):
                self._report(NodeProgress(flight.key, node, 0, 0))
            case frames.Stepped(_, node, step, steps):
                self._report(NodeProgress(flight.key, node, step, steps))

    # Submitting

    def _submit(self, job: Submission) -> None:
        try:
            answer = self._post(job)
        except ServerError as error:
            self._report(Broken(job.key, error))
            return
        body = answer.body if answer is not None else {}
        found = complaints(body)
        prompt_id = str(body.get("prompt_id") or job.prompt_id) if isinstance(body, dict) else job.prompt_id
        if found or (answer is not None and answer.status != 200):
            if answer is not None and answer.status == 200:
                # A valid half has been queued; a job that cannot give all its pictures is not to give some.
                self._take_back(prompt_id)
            self._report(Refused(job.key, tuple(found)))
            return
        now = self._clock()
        self._flights[prompt_id] = _InFlight(job.key, prompt_id, self._client_id, now, now)
        self._schedule(self._flights[prompt_id])
        self._report(Submitted(job.key, prompt_id))

    def _post(self, job: Submission) -> Answer | None:
        """Post a job and return the answer; None where the reply was lost and the job is there all the same."""
        for pause in (*_SUBMIT_PAUSES, None):
            try:
                return self._http.submit(job.workflow, prompt_id=job.prompt_id, client_id=self._client_id, pnginfo=job.pnginfo)
            except (Unreachable, ServerRefused) as error:
                problem: ServerError = error
            if isinstance(problem, ServerRefused) and problem.status < 500 and problem.status != 429:
                raise problem
            # The server may have queued it before the reply was lost: a second POST would run it twice.
            if self._is_known(job.prompt_id):
                return None
            if pause is None:
                raise problem
            time.sleep(pause)
        return None

    def _is_known(self, prompt_id: str) -> bool:
        try:
            return find_in_queue(self._http.queue(), prompt_id) is not None or self._http.history(prompt_id) is not None
        except ServerError:
            return False

    # Cancelling

    def _cancel(self, keys: frozenset[str]) -> None:
        for flight in self._flights.values():
            if flight.key in keys:
                flight.cancelling = True
                try:
                    self._take_back(flight.prompt_id)
                except ServerError as error:
                    self._note_outage(error)
                flight.look_at = self._clock()

    def _take_back(self, prompt_id: str) -> None:
        self._http.delete_pending([prompt_id])
        # Older servers interrupt whatever runs, so that is asked first.
        place = find_in_queue(self._http.queue(), prompt_id)
        if place is not None and place.running:
            self._http.interrupt(prompt_id)

    # Looking after jobs

    def _look(self) -> None:
        now = self._clock()
        due = [flight for flight in self._flights.values() if flight.look_at <= now]
        if not due:
            return
        try:
            for flight in due:
                self._look_at(flight)
            if self._flights and now - self._queue_at >= _QUEUE_SECONDS:
                self._look_at_queue()
        except ServerError as error:
            self._note_outage(error)
        else:
            self._outage_since = None
        for flight in due:
            self._schedule(flight)

    def _look_at(self, flight: _InFlight) -> bool:
        entry = self._http.history(flight.prompt_id)
        if entry is None:
            return False
        self._end(flight, Finished(flight.key, judge(entry)))
        return True

    def _look_at_queue(self) -> None:
        """Tell jobs that wait, run or are gone apart; the queue is read before the history, never after."""
        self._queue_at = self._clock()
        found = self._http.queue()
        for flight in list(self._flights.values()):
            place = find_in_queue(found, flight.prompt_id)
            if place is not None:
                flight.missing = 0
                if place != flight.place and not place.running:
                    self._report(Waiting(flight.key, place.ahead))
                flight.place = place
            elif not self._look_at(flight):
                flight.missing += 1
                if flight.missing > 1:
                    self._end(flight, self._gone(flight))
        self._watch_for_standstill(found)

    def _gone(self, flight: _InFlight) -> Report:
        if flight.cancelling:
            return Cancelled(flight.key)
        return Broken(
            flight.key,
            JobLost(
                f"no longer knows the prompt {flight.prompt_id}",
                where=self._http.address.url,
                hint="it was restarted, or somebody deleted the prompt; run the same command again",
            ),
        )

    def _watch_for_standstill(self, found: Mapping[str, Any]) -> None:
        if found.get("queue_running") or not found.get("queue_pending"):
            self._idle_since = None
            return
        now = self._clock()
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since > _STUCK_SECONDS:
            self._break_all(
                ServerStuck(
                    "accepts prompts and runs none: its worker thread has died",
                    where=self._http.address.url,
                    hint="restart ComfyUI, then run the same command again",
                )
            )

    def _note_outage(self, error: ServerError) -> None:
        now = self._clock()
        self._outage_since = now if self._outage_since is None else self._outage_since
        if now - self._outage_since > _OUTAGE_SECONDS:
            self._break_all(error)

    def _break_all(self, error: ServerError) -> None:
        for flight in list(self._flights.values()):
            self._end(flight, Broken(flight.key, error))

    def _end(self, flight: _InFlight, report: Report) -> None:
        if self._flights.pop(flight.prompt_id, None) is not None:
            self._report(report)

    def _schedule(self, flight: _InFlight) -> None:
        now = self._clock()
        pause = min(_POLL_LONGEST, max(_POLL_SHORTEST, (now - flight.since) * _POLL_FRACTION))
        if self._socket_is_up and flight.client_id == self._client_id:
            pause = max(pause, _POLL_WITH_SOCKET)
        flight.look_at = now + pause
