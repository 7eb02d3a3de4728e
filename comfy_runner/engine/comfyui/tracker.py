"""The prompts that one server has, or may have, of us, until their end: where they are, how they ended, taking them back.

Asks the server and reports what came of it. Posting is told in `submit`; the thread in which all this happens is `prompt_thread`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.followed_prompt import FollowedPrompt
from comfy_runner.engine.comfyui.history import Health, QueuePosition, find_in_queue, judge
from comfy_runner.engine.comfyui.submit import PromptRequest, Taken, find_prompt
from comfy_runner.engine.comfyui.ws_messages import Ended, Picture, Preview
from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.reports import (
    Broken,
    CachedNodes,
    Cancelled,
    Complaint,
    EngineReport,
    Finished,
    NodePreview,
    NodeProgress,
    Refused,
    Submitted,
    TakenInPart,
    Waiting,
)
from comfy_runner.engine.timeouts import Timeouts, wait_asked_for
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import JobFailed, JobLost, ServerError, ServerStuck

_INTERRUPTS_APART = 3
"""A prompt is interrupted again after so many times as long as there is between two looks at the queue."""


class Tracker:
    """Follows the prompts that one server has of us.

    Args:
        http: The server.
        tell: Takes reports.
        options: How prompts are treated.
        clock: Monotonic seconds.

    Attributes:
        health: Whether the server does its work.
    """

    def __init__(
        self,
        http: ComfyHttp,
        tell: Callable[[EngineReport], None],
        options: EngineOptions,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._http, self._tell, self._clock = http, tell, clock
        self._options, self._timeouts = options, options.timeouts
        self._prompts: dict[str, FollowedPrompt] = {}
        self._hears = ""
        # Whether frames tell of ends: they do where one has told of anything since the connection stands, and of the last end.
        self._is_told: bool | None = None
        self._at: NodeProgress | None = None
        self._queue_at = float("-inf")
        self.health = Health(options.timeouts)
        # A prompt of ours that has ended: whether the server still knows it tells a restart from a deletion.
        self._witness = ""
        # Until it says that it has no route for that.
        self._cancels_jobs = True

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Wait only so long from now on."""
        self._timeouts = self.health.timeouts = timeouts

    def add(self, job: PromptRequest, taken: Taken) -> None:
        """Follow a prompt that the server has taken, and report so."""
        # A job that cannot give all its pictures is not to give some, unless it may: what was queued is taken back.
        refusal = () if self._options.allow_partial else taken.complaints
        prompt = self._started(job, taken.prompt_id, taken.client_id, refusal)
        if taken.client_id != self._hears:
            prompt.streamed.interrupt()
        if refusal:
            self._cancel(prompt)
            return
        self._tell(Submitted(prompt.key, prompt.prompt_id))
        if taken.complaints:
            self._tell(TakenInPart(prompt.key, taken.complaints))
        self._schedule(prompt)

    def seek(self, job: PromptRequest) -> None:
        """Follow a prompt that the server may have from an earlier process of ours."""
        self._started(job, job.server_prompt_id or job.prompt_id, "", ()).sought = job

    def cancel(self, keys: Iterable[str]) -> None:
        """Take prompts back by key; unknown keys are no error."""
        for key in keys & self._prompts.keys():
            self._cancel(self._prompts[key])

    def drop_all(self) -> list[str]:
        """Follow none any more, and return their keys."""
        keys = list(self._prompts)
        self._prompts.clear()
        self.health.forget()
        return keys

    def hear_as(self, client_id: str) -> None:
        """Note that frames for this client id come in from now on; empty for none at all."""
        if client_id != self._hears:
            # A connection that breaks, or comes back, may be a server that was restarted.
            self._queue_at, self._is_told = float("-inf"), None
            for prompt in self._prompts.values():
                prompt.streamed.interrupt()
                if prompt.sought is None:
                    prompt.look_at = min(prompt.look_at, self._clock())
        self._hears = client_id

    def hear(self, frame: CachedNodes | NodeProgress | Ended) -> None:
        """Take a frame about a prompt of anybody."""
        prompt = self._find(frame.prompt_id if isinstance(frame, Ended) else frame.key)
        if isinstance(frame, NodeProgress):
            self._at = frame
        if prompt is None or prompt.refusal or prompt.sought is not None:
            return
        prompt.moved_at = self._clock()
        if self._is_told is None or isinstance(frame, Ended):
            self._is_told = prompt.client_id == self._hears
        if isinstance(frame, Ended):
            # Nothing more comes of it.
            prompt.look_at, prompt.late_from = self._clock(), float("-inf")
            return
        if isinstance(frame, CachedNodes):
            prompt.place = QueuePosition(running=True, ahead=0)
        elif frame.steps:
            prompt.streamed.expect(frame.node, frame.steps)
        self._tell(replace(frame, key=prompt.key))

    def see(self, picture: Picture) -> None:
        """Take a picture; where it does not say whose it is, it is that of the node that started last."""
        prompt_id, node = picture.prompt_id, picture.node
        if not prompt_id and self._at is not None:
            prompt_id, node = self._at.key, self._at.node
        prompt = self._find(prompt_id)
        if prompt is not None and prompt.sought is None:
            prompt.moved_at = self._clock()
            prompt.streamed.take(node, picture.data)

    def preview(self, preview: Preview) -> None:
        """Take a preview, which is a hint and no more; whose it is, is told as of pictures."""
        prompt_id, node = preview.prompt_id, preview.node
        if not prompt_id and self._at is not None:
            prompt_id, node = self._at.key, self._at.node
        prompt = self._find(prompt_id)
        if prompt is not None and not prompt.refusal and prompt.sought is None:
            self._tell(NodePreview(prompt.key, node, preview.data))

    def _find(self, prompt_id: str) -> FollowedPrompt | None:
        return next((prompt for prompt in self._prompts.values() if prompt.prompt_id == prompt_id), None)

    def moments(self) -> list[float]:
        """Return when to look at each job, on the clock."""
        return [prompt.look_at for prompt in self._prompts.values()]

    def look(self) -> ServerError | None:
        """Look at the jobs for which it is time; return what ends all jobs on this server, if anything does."""
        now = self._clock()
        hopeless = self._end_overdue(now)
        due = [prompt for prompt in self._prompts.values() if prompt.look_at <= now]
        if hopeless is not None or not due:
            return hopeless
        pause = 0.0
        try:
            for prompt in due:
                # Whether the server has a job at all is told by the queue first, and the history second.
                if prompt.sought is None and not self._waits_for_a_frame(prompt):
                    self._look_at(prompt)
            seeks = any(prompt.sought is not None for prompt in due)
            if seeks or (self._prompts and now - self._queue_at >= self._between_queues()):
                self._look_at_queue(now)
                # It has told of all of them.
                due += [prompt for prompt in self._prompts.values() if prompt not in due and self._waits_for_a_frame(prompt)]
        except ServerStuck as error:
            return error
        except ServerError as error:
            hopeless, pause = self._outage(error, now), wait_asked_for(error)
        else:
            self.health.answered()
        for prompt in due:
            self._schedule(prompt)
            prompt.look_at = max(prompt.look_at, self._clock() + pause)
        return hopeless

    def _started(self, job: PromptRequest, prompt_id: str, client_id: str, refusal: tuple[Complaint, ...]) -> FollowedPrompt:
        prompt = self._prompts[job.key] = FollowedPrompt.of(job, prompt_id, client_id, refusal, now=self._clock())
        return prompt

    # Looking

    def _look_at(self, prompt: FollowedPrompt) -> bool:
        entry = self._http.history(prompt.prompt_id)
        if entry is None:
            return False
        self._witness = prompt.prompt_id
        if prompt.late_from is None:
            self._is_told = False
        verdict = judge(entry)
        if verdict.outcome is Conclusion.SUCCEEDED and self._are_late(prompt):
            return True
        self._end(prompt, Finished(prompt.key, replace(verdict, pictures=prompt.streamed.pictures())))
        return True

    def _waits_for_a_frame(self, prompt: FollowedPrompt) -> bool:
        """Return whether a frame will tell of a job's end, so that it is enough to see now and then that it is in the queue."""
        is_heard = bool(self._is_told) and prompt.client_id == self._hears
        return is_heard and prompt.is_undisturbed and not self.health.failing and not self.health.idle

    def _between_queues(self) -> float:
        """Return the seconds between two looks at the queue: fewer where not only frames are waited for."""
        waits = all(map(self._waits_for_a_frame, self._prompts.values()))
        return self._timeouts.queue_with_socket if waits else self._timeouts.queue

    def _are_late(self, prompt: FollowedPrompt) -> bool:
        """Return whether pictures may still be on their way over the websocket, which the history has overtaken."""
        if prompt.streamed.all_came or not prompt.client_id or prompt.client_id != self._hears:
            return False
        if prompt.late_from is None:
            prompt.late_from = self._clock()
        return self._clock() - prompt.late_from < self._timeouts.late_pictures

    def _look_at_queue(self, now: float) -> None:
        """Tell jobs that wait, run or are gone apart; the queue is read before the history, never after."""
        self._queue_at = self._clock()
        found = self._http.queue()
        for prompt in list(self._prompts.values()):
            if prompt.sought is not None and (prompt.look_at > now or not self._recognise(prompt, prompt.sought, found)):
                continue
            place = find_in_queue(found, prompt.prompt_id)
            if place is not None:
                self._place(prompt, place)
            elif not self._look_at(prompt):
                self._miss(prompt)
            if prompt.cancelled_at is not None or prompt.missing:
                # What was taken back, or seems lost, is looked for again as soon as it is looked at.
                self._queue_at = float("-inf")
        # What waits goes first: otherwise the server would start it when what runs is interrupted.
        unwanted = [prompt for prompt in self._prompts.values() if prompt.cancelled_at is not None and not prompt.missing]
        for prompt in sorted(unwanted, key=lambda prompt: prompt.place is not None and prompt.place.running):
            self._take_back(prompt, found)
        self._watch_for_standstill(found)

    def _recognise(self, prompt: FollowedPrompt, job: PromptRequest, found: Mapping[str, Any]) -> bool:
        taken = find_prompt(self._http, found, job)
        if taken is None:
            self._miss(prompt)
            return False
        prompt.prompt_id, prompt.sought, prompt.missing = taken.prompt_id, None, 0
        self._tell(Submitted(prompt.key, prompt.prompt_id))
        return True

    def _miss(self, prompt: FollowedPrompt) -> None:
        prompt.missing += 1
        if prompt.missing > 1:
            self._end(prompt, self._gone(prompt))

    def _place(self, prompt: FollowedPrompt, place: QueuePosition) -> None:
        prompt.missing = 0
        if place != prompt.place:
            prompt.moved_at = self._clock()
            if not place.running and not prompt.refusal:
                self._tell(Waiting(prompt.key, place.ahead))
        prompt.place = place

    def _gone(self, prompt: FollowedPrompt) -> EngineReport:
        if prompt.cancelled_at is not None:
            return Cancelled(prompt.key)
        if prompt.sought is not None:
            what, why = f"does not know the prompt {prompt.prompt_id}", "it never got it, or has been restarted since"
        else:
            what, why = f"no longer knows the prompt {prompt.prompt_id}", self._why_gone()
        return Broken(prompt.key, JobLost(what, where=self._http.address.url, hint=f"{why}; run the same command again"))

    def _why_gone(self) -> str:
        """Tell a restart, which forgets everything, from a prompt that alone is gone; as far as earlier prompts tell."""
        if not self._witness:
            return "it was restarted, or somebody deleted the prompt"
        remembers = self._http.history(self._witness) is not None
        return "somebody deleted the prompt" if remembers else "it was restarted, or its history was cleared"

    def _schedule(self, prompt: FollowedPrompt) -> None:
        now = self._clock()
        if prompt.sought is not None and prompt.missing:
            # What a process sent that was killed a moment ago may still be on its way.
            prompt.look_at = now + self._timeouts.queue
            return
        if self._waits_for_a_frame(prompt):
            prompt.look_at = now + self._timeouts.queue_with_socket
            return
        told = bool(self._hears) and prompt.client_id == self._hears and not self.health.idle
        age = now - prompt.since
        if prompt.cancelled_at is not None:
            age, told = now - prompt.cancelled_at, False
        elif prompt.missing:
            age, told = 0.0, False
        # Nothing is gained by asking a server that does not answer as often as one that does.
        prompt.look_at = now + self._timeouts.until_next_look(age, told=told or self.health.failing)

    # Taking back

    def _cancel(self, prompt: FollowedPrompt) -> None:
        prompt.cancelled_at = prompt.look_at = self._clock()
        self._queue_at = float("-inf")

    def _take_back(self, prompt: FollowedPrompt, found: Mapping[str, Any]) -> None:
        """Take a job out of the queue, or interrupt it; `found` is the queue as it was a moment ago."""
        place, now = find_in_queue(found, prompt.prompt_id), self._clock()
        # Once more after a while, for a prompt that is just being started wipes an interrupt; not sooner than the first one
        # takes effect, for a second that comes too late would hit what runs next.
        if place is None or now - prompt.interrupted_at < _INTERRUPTS_APART * self._timeouts.queue:
            return
        self._cancels_jobs = self._cancels_jobs and self._http.cancel_job(prompt.prompt_id)
        if self._cancels_jobs:
            prompt.interrupted_at = now
            return
        if not place.running:
            self._http.delete_pending([prompt.prompt_id])
        # Older servers interrupt whatever runs: only what is running this very moment is interrupted.
        place = find_in_queue(self._http.queue(), prompt.prompt_id)
        if place is not None and place.running:
            self._http.interrupt(prompt.prompt_id)
            prompt.interrupted_at = now

    # Giving up

    def _end_overdue(self, now: float) -> ServerError | None:
        hopeless = None
        overdue = [
            prompt
            for prompt in self._prompts.values()
            if self._options.total is not None and now - prompt.since > self._options.total
        ]
        for prompt in overdue:
            try:
                self._take_back(prompt, self._http.queue())
            except ServerError as error:
                hopeless = self._outage(error, now)
            what = f"has taken longer than {self._options.total:g} s"
            self._end(prompt, Broken(prompt.key, JobFailed(what, where=prompt.key, hint="allow it more time")))
        return hopeless

    def _watch_for_standstill(self, found: Mapping[str, Any]) -> None:
        now = self._clock()
        for prompt in self._prompts.values():
            if prompt.place is not None and prompt.place.running and now - prompt.moved_at > self._options.stall:
                raise self._stuck(f"has made no progress with the prompt {prompt.prompt_id} for {self._options.stall:g} s")
        if self.health.stands_still(found, now):
            raise self._stuck("accepts prompts and runs none: its worker thread has died")

    def _stuck(self, what: str) -> ServerStuck:
        return ServerStuck(what, where=self._http.address.url, hint="restart ComfyUI, then run the same command again")

    def _outage(self, error: ServerError, asked: float) -> ServerError | None:
        return error if self.health.failed(self._clock(), asked=asked) else None

    def _end(self, prompt: FollowedPrompt, report: EngineReport) -> None:
        if self._prompts.pop(prompt.key, None) is not None:
            self._tell(Refused(prompt.key, prompt.refusal) if prompt.refusal else report)
