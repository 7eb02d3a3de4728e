"""The servers that are to take part in a run, as values: what each has said of itself, and what that means for the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comfy_runner.engine.info import EngineInfo
from comfy_runner.engine.interface import Engine, NamedEngine
from comfy_runner.errors import ComfyRunnerError, Note
from comfy_runner.planning.capabilities import Capabilities, impossible_jobs, refuse_impossible
from comfy_runner.planning.draft import Draft


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
    """

    name: str
    engine: Engine
    in_flight: int | None = None
    answer: Answered | None = None
    error: ComfyRunnerError | None = None
    speed: float | None = None

    @property
    def url(self) -> str:
        """Return its URL."""
        return self.engine.url

    @classmethod
    def of(cls, named: NamedEngine) -> Candidate:
        """Return a server that has not been asked yet."""
        return cls(named.name, named.engine, named.in_flight)


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
