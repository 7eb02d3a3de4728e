"""The thread of one server: it posts prompts, has them followed to their verdict, and decides nothing.

Every prompt's end is read from ``/history``; the websocket only tells when to look, and without it the same is found by polling.
The caller gives prompts and takes reports; what to do about a report (the next job, a retry, giving up) is the caller's business.
Every prompt that is submitted or attached gets exactly one of `Finished`, `Refused`, `Cancelled` and `Broken`, until the thread is
closed.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.submit import PendingPrompt, PromptRequest, Rejected
from comfy_runner.engine.comfyui.tracker import Tracker
from comfy_runner.engine.comfyui.uploads import Uploads
from comfy_runner.engine.comfyui.websocket_channel import EventSocket, SocketDown, SocketUp
from comfy_runner.engine.comfyui.ws_messages import Frame, Picture, Preview
from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.reports import Broken, Cancelled, EngineReport, Refused
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ComfyRunnerError, ServerError
from comfy_runner.inbox import Inbox

__all__ = ["PromptRequest", "PromptThread"]

_JOIN_SECONDS = 3.0
_HEADER = 4096  # what a picture says of itself on the websocket


class PromptThread:
    """Posts and follows prompts on one server.

    Args:
        http: The server.
        report: Takes each report, on this thread; must return at once.
        options: How prompts are treated. Without a websocket none shows progress while it runs.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        http: ComfyHttp,
        report: Callable[[EngineReport], None],
        options: EngineOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http, self._report, self._clock = http, report, clock
        self._timeouts, with_socket = options.timeouts, options.websocket
        self._inbox = Inbox[Callable[[], object]]()
        self._pending: dict[str, PendingPrompt] = {}
        self._uploads = Uploads(http)
        self._tracker = Tracker(http, self._tell, options, clock=clock)
        self._client_id = str(uuid.uuid4())
        # Frames of a job that is posted before there is a socket are lost, so the first one waits a moment for it.
        self._post_from = clock() + self._timeouts.first_socket if with_socket else clock()
        # What comes over the websocket alone is lost without one, so such a job waits longer.
        self._stream_from = self._post_from + (2 * self._timeouts.reconnect if with_socket else 0.0)
        self._hears = False
        self._closing = threading.Event()
        self._socket = None
        if with_socket:
            self._socket = EventSocket(http.address, self._deliver, timeouts=self._timeouts, previews=options.previews)
        self._thread = threading.Thread(target=self._run, name=f"prompts {http.address.url}", daemon=True)
        self._thread.start()

    def submit(self, submission: PromptRequest) -> None:
        """Submit a job; what becomes of it is reported."""
        if self._socket is not None and submission.streamed:
            self._socket.take(max(submission.streamed.values()) + _HEADER)
        self._inbox.put(lambda: self._pending.update({submission.key: PendingPrompt(submission, self._clock())}))

    def attach(self, submission: PromptRequest) -> None:
        """Take up a job that an earlier process of ours may have posted; it is followed like one of our own, and never posted.

        It is looked for by its id, and where the server may have chosen another, by its file prefixes, which have to be nobody
        else's. A job that the server does not have ends as `Broken` with `JobLost`. Its progress is not told: the server
        tells that process, which is gone.
        """
        self._inbox.put(lambda: self._tracker.seek(submission))

    def cancel(self, keys: Iterable[str]) -> None:
        """Take jobs back: out of the queue, or interrupted by id; nobody else's prompt is touched."""
        wanted = frozenset(keys)
        self._inbox.put(lambda: self._cancel(wanted))

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Wait only so long from now on."""
        self._timeouts = timeouts
        self._tracker.set_timeouts(timeouts)
        if self._socket is not None:
            self._socket.timeouts = timeouts

    def close(self) -> None:
        """Stop following; what runs on the server goes on running. There are no reports after this."""
        self._closing.set()
        self._inbox.put(lambda: None)
        self._thread.join(timeout=_JOIN_SECONDS)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
            except Exception as error:  # whatever it is: whoever waits for these prompts has to hear of it
                self._break_all(_unexpected(error))

    def _turn(self) -> None:
        try:
            act = self._inbox.get(timeout=self._pause())
        except queue.Empty:
            pass
        else:
            act()
        if self._closing.is_set():
            return
        self._post_next()
        hopeless = self._tracker.look()
        if hopeless is not None:
            self._break_all(hopeless)

    def _pause(self) -> float | None:
        """Return the seconds until something is to be done unasked; None for never."""
        moments = self._tracker.moments()
        moments += [self._ready(pending) for pending in self._next_pending()]
        return max(0.0, min(moments) - self._clock()) if moments else None

    def _deliver(self, event: Frame | SocketUp | SocketDown) -> None:
        self._inbox.put(lambda: self._hear(event))

    def _hear(self, event: Frame | SocketUp | SocketDown) -> None:
        match event:
            case SocketUp(client_id):
                self._client_id, self._post_from, self._hears = client_id, self._clock(), True
                self._stream_from = self._post_from
                self._tracker.hear_as(client_id)
            case SocketDown():
                self._post_from = self._clock()
                if self._hears:
                    self._stream_from, self._hears = self._post_from + 2 * self._timeouts.reconnect, False
                self._tracker.hear_as("")
                self._uploads.forget()
            case Picture():
                self._tracker.see(event)
            case Preview():
                self._tracker.preview(event)
            case _:
                self._tracker.hear(event)

    # Submitting

    def _next_pending(self) -> list[PendingPrompt]:
        # One after the other: a job that is not taken at once is not to be overtaken, for neighbours share the server's cache.
        return [pending for pending in list(self._pending.values())[:1] if pending.provided is not None]

    def _post_next(self) -> None:
        now = self._clock()
        for pending in self._next_pending():
            if self._ready(pending) <= now:
                self._post(pending)

    def _ready(self, pending: PendingPrompt) -> float:
        """Return when a job is to be posted, on the clock."""
        return max(pending.at, self._stream_from if pending.job.streamed else self._post_from)

    def _post(self, pending: PendingPrompt) -> None:
        key, pending.asked = pending.job.key, self._clock()
        try:
            taken = pending.find(self._http)
            if taken is None and pending.cancelling:
                self._settle(pending, Cancelled(key))
                return
            if taken is None and not pending.provided:
                self._upload(pending)
                return
            taken = taken or pending.post(self._http, self._client_id)
        except (Rejected, ComfyRunnerError) as error:
            self._not_posted(pending, error)
            return
        del self._pending[key]
        self._tracker.add(pending.job, taken)
        if pending.cancelling:
            self._tracker.cancel([key])

    def _upload(self, pending: PendingPrompt) -> None:
        """Bring a job's files to the server, beside this thread: a large one takes minutes, in which others are followed."""
        pending.provided, pending.asked = None, self._clock()
        threading.Thread(target=self._bring, args=(pending,), name=f"upload {self._http.address.url}", daemon=True).start()

    def _bring(self, pending: PendingPrompt) -> None:
        try:
            names = self._uploads.provide(pending.job.uploads, lambda: pending.unwanted.is_set() or self._closing.is_set())
        except Exception as error:  # a fault of ours too, for this object's own thread
            failed = error
            self._inbox.put(lambda: self._not_brought(pending, failed))
        else:
            self._inbox.put(lambda: pending.brought(names))

    def _not_brought(self, pending: PendingPrompt, error: Exception) -> None:
        if self._pending.get(pending.job.key) is pending:  # otherwise it was taken back
            pending.provided = False
            self._not_posted(pending, error)

    def _not_posted(self, pending: PendingPrompt, error: Exception) -> None:
        key = pending.job.key
        match error:
            case Rejected() if _misses_a_file(pending, error):
                self._bring_again(pending, self._clock())
                pending.brought_anew = True
            case Rejected():
                self._settle(pending, Refused(key, error.complaints))
            case ServerError():
                self._put_off(pending, error)
            case ComfyRunnerError():
                self._settle(pending, Broken(key, error))
            case _:
                raise error

    def _put_off(self, pending: PendingPrompt, error: ServerError) -> None:
        now = self._clock()
        pending.failing_since = pending.asked if pending.failing_since is None else pending.failing_since
        pending.failures += 1
        pause = self._timeouts.pause_before_retry(error, failures=pending.failures, failing_for=now - pending.failing_since)
        if pause is None:
            self._settle(pending, Broken(pending.job.key, error))
        else:
            self._bring_again(pending, now + pause)

    def _bring_again(self, pending: PendingPrompt, at: float) -> None:
        """Try a job again, once it is sure that the server has its files: it may have come back without them."""
        self._uploads.forget()
        pending.provided = not pending.job.uploads
        pending.at = at

    def _settle(self, pending: PendingPrompt, report: Refused | Broken | Cancelled) -> None:
        pending.unwanted.set()
        del self._pending[pending.job.key]
        self._tell(report)

    # Ending

    def _cancel(self, keys: frozenset[str]) -> None:
        for key in keys & self._pending.keys():
            pending = self._pending[key]
            if pending.posted:
                pending.unwanted.set()
                pending.cancelling, pending.at = True, self._clock()
            else:
                self._settle(pending, Cancelled(key))
        self._tracker.cancel(keys)

    def _break_all(self, error: ComfyRunnerError) -> None:
        for key in self._tracker.drop_all():
            self._tell(Broken(key, error))
        for pending in list(self._pending.values()):
            self._settle(pending, Broken(pending.job.key, error))

    def _tell(self, report: EngineReport) -> None:
        if not self._closing.is_set():
            self._report(report)


def _misses_a_file(pending: PendingPrompt, refusal: Rejected) -> bool:
    """Return whether a server has lost a file since it was asked for it, as it may once for each job."""
    said = " ".join(complaint.what for complaint in refusal.complaints)
    return bool(pending.provided) and not pending.brought_anew and any(name in said for name in pending.names)


def _unexpected(error: Exception) -> ServerError:
    what = f"can no longer be followed: {type(error).__name__}: {error}"
    return ServerError(what, hint="this is a fault in comfy_runner; please report it")
