"""The servers that are to take part in a run: what each says of itself, and what that means for the jobs.

They are asked before they get work, all at once, so that those that hang delay nobody.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from comfy_runner.engine.info import EngineInfo
from comfy_runner.engine.interface import NO_KEY, Engine, NamedEngine
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import ComfyRunnerError, Note, ServerError, ServerRefused, ServerStuck, Unreachable
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.inbox import Inbox
from comfy_runner.planning.capabilities import Capabilities, capabilities_of, impossible_jobs, refuse_impossible
from comfy_runner.planning.draft import Draft

T = TypeVar("T")

_TURN_SECONDS = 0.5  # a wait without an end cannot be interrupted from the keyboard on Windows


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server has said of itself.

    Attributes:
        info: Its versions, and how it caches.
        capabilities: What it can do of the run's jobs.
    """

    info: EngineInfo
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that is to take part.

    Attributes:
        name: What the user calls it: a name from the config file, or its URL.
        engine: The way to it.
        in_flight: How many graphs it holds at a time; None for the run's own number.
        answer: What it has said of itself; None where it has not answered.
        error: Why it has not; None where it has.
        speed: Weighted steps per second, from earlier runs; None where nothing is known.
        key_hint: How it gets an API key for nodes that call paid services; empty where it has one.
    """

    name: str
    engine: Engine
    in_flight: int | None = None
    answer: Answered | None = None
    error: ComfyRunnerError | None = None
    speed: float | None = None
    key_hint: str = NO_KEY

    @property
    def url(self) -> str:
        """Return its URL."""
        return self.engine.url

    @classmethod
    def of(cls, named: NamedEngine) -> Candidate:
        """Return a server that has not been asked yet."""
        return cls(named.name, named.engine, named.in_flight, key_hint=named.key_hint)


def hold_against(rendered: Sequence[Draft], candidates: Sequence[Candidate]) -> tuple[int, tuple[Note, ...]]:
    """Hold jobs against the servers that answer.

    Args:
        rendered: The jobs that are to be rendered.
        candidates: The servers, at least one of which answers.

    Returns:
        How many of the jobs none of them can do, and what they change of the others.

    Raises:
        InputError: None can do a job, and there is no other server that might.
    """
    known = {candidate.url: candidate.answer.capabilities for candidate in candidates if candidate.answer}
    count = 0
    if len(known) == len(candidates):
        refuse_impossible(rendered, known)
    else:
        count = sum(1 for _ in impossible_jobs(rendered, known))
    return count, tuple(note for capabilities in known.values() for note in capabilities.notes)


class Examiner:
    """Asks servers, from several threads.

    Args:
        drafts: The jobs of the run.
        allow_partial: Whether a part of a job is better than nothing of it.
    """

    def __init__(self, drafts: Sequence[Draft], *, allow_partial: bool = False) -> None:
        self._drafts, self._allow_partial = drafts, allow_partial
        self._known: dict[str, Capabilities] = {}
        self._lock = threading.Lock()

    def ask(self, candidate: Candidate) -> Answered:
        """Return what a server says of itself.

        Raises:
            ServerError: It does not answer, or not as a ComfyUI does.
        """
        info = _asked(candidate.engine.info)
        return Answered(info, self._capabilities(_asked(candidate.engine.object_info), candidate.key_hint))

    def ask_again(self, candidate: Candidate) -> Answered:
        """Return what a server says of itself that was out of order.

        Raises:
            ServerError: It still is.
        """
        queue = candidate.engine.queue()
        if queue.pending and not queue.running:
            raise ServerStuck("still accepts prompts but runs none", where=candidate.url, hint="restart ComfyUI")
        return self.ask(candidate)

    def ask_all(
        self, candidates: Sequence[Candidate], before: Callable[[Candidate], None], *, late: Callable[[Candidate], float]
    ) -> list[Candidate]:
        """Return servers with what they say of themselves, or why they do not, all asked at the same time.

        Args:
            candidates: The servers.
            before: Called for each before it is asked, on a thread of its own.
            late: Tells how many seconds one is waited for after the last answer of another one; before the first, as long as
                it takes.

        Raises:
            ServerError: None of them answers; with the reasons of all.
        """
        answers = Inbox[tuple[int, Candidate | BaseException]]()

        def ask(number: int, candidate: Candidate) -> None:
            try:
                before(candidate)
                answers.put((number, replace(candidate, answer=self.ask(candidate))))
            except ComfyRunnerError as error:
                answers.put((number, replace(candidate, error=error)))
            except BaseException as crash:  # a fault of ours, for the caller's thread
                answers.put((number, crash))

        # Each on a thread of its own: those that hang hold up nobody, nor the end of the program.
        for number, candidate in enumerate(candidates):
            threading.Thread(target=ask, args=(number, candidate), name=f"ask {candidate.url}", daemon=True).start()
        known: dict[int, Candidate] = {}
        last = math.inf
        while missing := [candidate for number, candidate in enumerate(candidates) if number not in known]:
            left = last + max(map(late, missing)) - time.monotonic()
            try:
                number, answer = answers.get(timeout=max(0.0, min(left, _TURN_SECONDS)))
            except queue.Empty:
                if left <= 0:
                    break
                continue
            if isinstance(answer, BaseException):
                raise answer
            known[number] = answer
            if answer.answer is not None:
                last = time.monotonic()
        found = [known.get(number) or _silent(candidate) for number, candidate in enumerate(candidates)]
        if not any(candidate.answer for candidate in found):
            errors = [candidate.error for candidate in found if candidate.error is not None]
            raise errors[0] if len(errors) == 1 else ServerError.of(problem for error in errors for problem in error.problems)
        return found

    def _capabilities(self, info: ObjectInfo, key_hint: str) -> Capabilities:
        # One at a time: servers that say the same of their nodes, as most of a fleet do, are looked at once.
        with self._lock:
            known = self._known.get(info.fingerprint)
            if known:
                found = known.of_equal_server(info, key_hint=key_hint)
            else:
                found = capabilities_of(self._drafts, info, allow_partial=self._allow_partial, key_hint=key_hint)
            self._known.setdefault(info.fingerprint, found)
            return found


def _asked(ask: Callable[[], T]) -> T:
    """Return what a server answers; one that says that it cannot answer just now is asked a few times more."""
    timeouts, failures = Timeouts(), 0
    while True:
        try:
            return ask()
        except ServerRefused as error:
            failures += 1
            pause = timeouts.pause_before_retry(error, failures=failures, failing_for=0.0)
            if pause is None or failures > len(timeouts.repost):
                raise
            time.sleep(pause)


def _silent(candidate: Candidate) -> Candidate:
    return replace(candidate, error=Unreachable("did not answer in time", where=candidate.url))
