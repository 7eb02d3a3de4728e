"""The jobs that one server has, or may have, looked after until their end: where they stand, how they ended, taking them back.

What is done here is asking the server and telling what came of it. Posting is `posting`'s business; the thread, and what comes
in from outside, are `lane`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfy_runner.engine.comfyui import ws_messages
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.health import Health
from comfy_runner.engine.comfyui.history import QueuePosition, find_in_queue, judge
from comfy_runner.engine.comfyui.streamed_pictures import Streamed
from comfy_runner.engine.comfyui.submit import PromptRequest, Taken, find_prompt
from comfy_runner.engine.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Complaint,
    EngineReport,
    Finished,
    NodeProgress,
    Refused,
    Submitted,
    TakenInPart,
    Waiting,
)
from comfy_runner.engine.timeouts import Timeouts, wait_asked_for
from comfy_runner.engine.verdict import Outcome
from comfy_runner.errors import JobFailed, JobLost, ServerError, ServerStuck


@dataclass(slots=True)
class _Flight:
    """A job that the server has.

    `refusal` is set where it took only a part, which is to go; `sought` while it is not known whether the server has it at all.
    """

    key: str
    prompt_id: str
    client_id: str
    refusal: tuple[Complaint, ...]
    streamed: Streamed
    since: float
    moved_at: float
    look_at: float
    sought: PromptRequest | None = None
    place: QueuePosition | None = None
    missing: int = 0
    cancelled_at: float | None = None
    interrupted_at: float = float("-inf")
    late_from: float | None = None


class Flights:
    """The jobs that one server has of us.

    Args:
        http: The server.
        tell: Takes reports.
        stall: As for `Lane`.
        total: As for `Lane`.
        timeouts: All other waiting.
        clock: Monotonic seconds.

    Attributes:
        health: Whether the server does its work.
    """

    def __init__(
        self,
        http: ComfyHttp,
        tell: Callable[[EngineReport], None],
        *,
        stall: float,
        total: float | None,
        timeouts: Timeouts,
        clock: Callable[[], float],
    ) -> None:
        self._http, self._tell, self._clock = http, tell, clock
        self._stall, self._total, self._timeouts = stall, total, timeouts
        self._flights: dict[str, _Flight] = {}
        self._hears = ""
        self._at: ws_messages.Executing | None = None
        self._queue_at = float("-inf")
        self.health = Health(timeouts)
        # A prompt of ours that has ended: whether the server still knows it tells a restart from a deletion.
        self._witness = ""

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Wait only so long from now on."""
        self._timeouts = self.health.timeouts = timeouts

    def add(self, job: PromptRequest, taken: Taken) -> None:
        """Follow a job that the server has taken, and tell so."""
        # A job that cannot give all its pictures is not to give some, unless it may: what was queued is taken back.
        refusal = () if job.allow_partial else taken.complaints
        flight = self._started(job, taken.prompt_id, taken.client_id, refusal)
        if taken.client_id != self._hears:
            flight.streamed.interrupt()
        if refusal:
            self._cancel(flight)
            return
        self._tell(Submitted(flight.key, flight.prompt_id))
        if taken.complaints:
            self._tell(TakenInPart(flight.key, taken.complaints))
        self._schedule(flight)

    def seek(self, job: PromptRequest) -> None:
        """Follow a job that the server may have from an earlier process of ours."""
        self._started(job, job.server_prompt_id or job.prompt_id, "", ()).sought = job

    def cancel(self, keys: Iterable[str]) -> None:
        """Take jobs back, of which others than ours are ignored."""
        for key in keys & self._flights.keys():
            self._cancel(self._flights[key])

    def drop_all(self) -> list[str]:
        """Follow none any more, and return their keys."""
        keys = list(self._flights)
        self._flights.clear()
        self.health.forget()
        return keys

    def hear_as(self, client_id: str) -> None:
        """Note that frames for this client id come in from now on; empty for none at all."""
        if client_id != self._hears:
            # A connection that breaks, or comes back, may be a server that was restarted.
            self._queue_at = float("-inf")
            for flight in self._flights.values():
                flight.streamed.interrupt()
                if flight.sought is None:
                    flight.look_at = min(flight.look_at, self._clock())
        self._hears = client_id

    def hear(self, frame: ws_messages.Cached | ws_messages.Executing | ws_messages.Stepped | ws_messages.Ended) -> None:
        """Take a frame about a prompt of anybody."""
        flight = self._flight(frame.prompt_id)
        if isinstance(frame, ws_messages.Executing):
            self._at = frame
        if flight is None or flight.refusal or flight.sought is not None:
            return
        flight.moved_at = self._clock()
        match frame:
            case ws_messages.Ended():
                # Nothing more comes of it.
                flight.look_at, flight.late_from = self._clock(), float("-inf")
            case ws_messages.Cached(_, nodes):
                flight.place = QueuePosition(running=True, ahead=0)
                self._tell(CachedNodes(flight.key, nodes))
            case ws_messages.Executing(_, node):
                self._tell(NodeProgress(flight.key, node, 0, 0))
            case ws_messages.Stepped(_, node, step, steps):
                flight.streamed.expect(node, steps)
                self._tell(NodeProgress(flight.key, node, step, steps))

    def see(self, picture: ws_messages.Picture) -> None:
        """Take a picture; where it does not say whose it is, it is that of the node that started last."""
        prompt_id, node = picture.prompt_id, picture.node
        if not prompt_id and self._at is not None:
            prompt_id, node = self._at.prompt_id, self._at.node
        flight = self._flight(prompt_id)
        if flight is not None and flight.sought is None:
            flight.moved_at = self._clock()
            flight.streamed.take(node, picture.data)

    def _flight(self, prompt_id: str) -> _Flight | None:
        return next((flight for flight in self._flights.values() if flight.prompt_id == prompt_id), None)

    def moments(self) -> list[float]:
        """Return when to look at each job, on the clock."""
        return [flight.look_at for flight in self._flights.values()]

    def look(self) -> ServerError | None:
        """Look at the jobs for which it is time; return what ends all jobs on this server, if anything does."""
        now = self._clock()
        hopeless = self._end_overdue(now)
        due = [flight for flight in self._flights.values() if flight.look_at <= now]
        if hopeless is not None or not due:
            return hopeless
        pause = 0.0
        try:
            for flight in due:
                # Whether the server has a job at all is told by the queue first, and the history second.
                if flight.sought is None:
                    self._look_at(flight)
            seeks = any(flight.sought is not None for flight in due)
            if seeks or (self._flights and now - self._queue_at >= self._timeouts.queue):
                self._look_at_queue(now)
        except ServerStuck as error:
            return error
        except ServerError as error:
            hopeless, pause = self._outage(error), wait_asked_for(error)
        else:
            self.health.answered()
        for flight in due:
            self._schedule(flight)
            flight.look_at = max(flight.look_at, self._clock() + pause)
        return hopeless

    def _started(self, job: PromptRequest, prompt_id: str, client_id: str, refusal: tuple[Complaint, ...]) -> _Flight:
        now = self._clock()
        flight = self._flights[job.key] = _Flight(
            job.key, prompt_id, client_id, refusal, Streamed(job.streamed), since=now, moved_at=now, look_at=now
        )
        return flight

    # Looking

    def _look_at(self, flight: _Flight) -> bool:
        entry = self._http.history(flight.prompt_id)
        if entry is None:
            return False
        self._witness = flight.prompt_id
        verdict = judge(entry)
        if verdict.outcome is Outcome.SUCCEEDED and self._are_late(flight):
            return True
        self._end(flight, Finished(flight.key, replace(verdict, pictures=flight.streamed.pictures())))
        return True

    def _are_late(self, flight: _Flight) -> bool:
        """Return whether pictures may still be on their way over the websocket, which the history has overtaken."""
        if flight.streamed.all_came or not flight.client_id or flight.client_id != self._hears:
            return False
        if flight.late_from is None:
            flight.late_from = self._clock()
        return self._clock() - flight.late_from < self._timeouts.late_pictures

    def _look_at_queue(self, now: float) -> None:
        """Tell jobs that wait, run or are gone apart; the queue is read before the history, never after."""
        self._queue_at = self._clock()
        found = self._http.queue()
        for flight in list(self._flights.values()):
            if flight.sought is not None and (flight.look_at > now or not self._recognise(flight, flight.sought, found)):
                continue
            place = find_in_queue(found, flight.prompt_id)
            if place is not None:
                self._place(flight, place)
            elif not self._look_at(flight):
                self._miss(flight)
            if flight.cancelled_at is not None or flight.missing:
                # What was taken back, or seems lost, is looked for again as soon as it is looked at.
                self._queue_at = float("-inf")
        # What waits goes first: otherwise the server would start it when what runs is interrupted.
        unwanted = [flight for flight in self._flights.values() if flight.cancelled_at is not None and not flight.missing]
        for flight in sorted(unwanted, key=lambda flight: flight.place is not None and flight.place.running):
            self._take_back(flight, found)
        self._watch_for_standstill(found)

    def _recognise(self, flight: _Flight, job: PromptRequest, found: Mapping[str, Any]) -> bool:
        taken = find_prompt(self._http, found, job)
        if taken is None:
            self._miss(flight)
            return False
        flight.prompt_id, flight.sought, flight.missing = taken.prompt_id, None, 0
        self._tell(Submitted(flight.key, flight.prompt_id))
        return True

    def _miss(self, flight: _Flight) -> None:
        flight.missing += 1
        if flight.missing > 1:
            self._end(flight, self._gone(flight))

    def _place(self, flight: _Flight, place: QueuePosition) -> None:
        flight.missing = 0
        if place != flight.place:
            flight.moved_at = self._clock()
            if not place.running and not flight.refusal:
                self._tell(Waiting(flight.key, place.ahead))
        flight.place = place

    def _gone(self, flight: _Flight) -> EngineReport:
        if flight.cancelled_at is not None:
            return Cancelled(flight.key)
        if flight.sought is not None:
            what, why = f"does not know the prompt {flight.prompt_id}", "it never got it, or was restarted since"
        else:
            what, why = f"no longer knows the prompt {flight.prompt_id}", self._why_gone()
        return Broken(flight.key, JobLost(what, where=self._http.address.url, hint=f"{why}; run the same command again"))

    def _why_gone(self) -> str:
        """Tell a restart, which forgets everything, from a prompt that alone is gone; as far as earlier prompts tell."""
        if not self._witness:
            return "it was restarted, or somebody deleted the prompt"
        remembers = self._http.history(self._witness) is not None
        return "somebody deleted the prompt" if remembers else "it was restarted, or its history was cleared"

    def _schedule(self, flight: _Flight) -> None:
        now = self._clock()
        if flight.sought is not None and flight.missing:
            # What a process sent that was killed a moment ago may still be on its way.
            flight.look_at = now + self._timeouts.queue
            return
        told = bool(self._hears) and flight.client_id == self._hears
        age = now - flight.since
        if flight.cancelled_at is not None:
            age, told = now - flight.cancelled_at, False
        elif flight.missing:
            age, told = 0.0, False
        # Nothing is gained by asking a server that does not answer as often as one that does.
        flight.look_at = now + self._timeouts.until_next_look(age, told=told or self.health.failing)

    # Taking back

    def _cancel(self, flight: _Flight) -> None:
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
        if place is not None and place.running and now - flight.interrupted_at >= self._timeouts.queue:
            self._http.interrupt(flight.prompt_id)
            flight.interrupted_at = now

    # Giving up

    def _end_overdue(self, now: float) -> ServerError | None:
        hopeless = None
        overdue = [flight for flight in self._flights.values() if self._total is not None and now - flight.since > self._total]
        for flight in overdue:
            try:
                self._take_back(flight, self._http.queue())
            except ServerError as error:
                hopeless = self._outage(error)
            what = f"has taken longer than {self._total:g} s"
            self._end(flight, Broken(flight.key, JobFailed(what, where=flight.key, hint="allow it more time")))
        return hopeless

    def _watch_for_standstill(self, found: Mapping[str, Any]) -> None:
        now = self._clock()
        for flight in self._flights.values():
            if flight.place is not None and flight.place.running and now - flight.moved_at > self._stall:
                raise self._stuck(f"has not got on with the prompt {flight.prompt_id} for {self._stall:g} s")
        if self.health.stands_still(found, now):
            raise self._stuck("accepts prompts and runs none: its worker thread has died")

    def _stuck(self, what: str) -> ServerStuck:
        return ServerStuck(what, where=self._http.address.url, hint="restart ComfyUI, then run the same command again")

    def _outage(self, error: ServerError) -> ServerError | None:
        return error if self.health.failed(self._clock()) else None

    def _end(self, flight: _Flight, report: EngineReport) -> None:
        if self._flights.pop(flight.key, None) is not None:
            self._tell(Refused(flight.key, flight.refusal) if flight.refusal else report)
