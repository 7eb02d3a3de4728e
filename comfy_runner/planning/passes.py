"""What a list of jobs makes a server run: model loads, sampler passes, decodes, counted before anything runs.

A job is here the tuple of its distinct node results, small ints of a catalogue. Two memories are known: that of ComfyUI's classic
cache, which holds exactly the previous prompt, and none at all. Does not say which order is best (`order`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from comfy_runner.scheduling.backlog import Costs


class Catalogue(Costs, Protocol):
    """What is known of the node results of one plan, by their ints."""

    def column(self, step: int, /) -> int:
        """Return where in a graph the result stands; a job has at most one result in each column."""
        ...


@dataclass(frozen=True, slots=True)
class Passes:
    """How often nodes run.

    Attributes:
        loads: Loads of checkpoints and diffusion models.
        first: Sampler passes that start from nothing that was sampled.
        second: Sampler passes that go on with what another one made.
        decodes: Latents made into pictures.
        other: All other nodes.
        weighted: The cost of all of them, in sampler steps at 1024x576 pixels.
    """

    loads: int = 0
    first: int = 0
    second: int = 0
    decodes: int = 0
    other: int = 0
    weighted: float = 0.0


_FIELDS = {"load": "loads", "first": "first", "second": "second", "decode": "decodes"}


def passes(jobs: Iterable[tuple[int, ...]], steps: Costs, *, cached: bool = True) -> Passes:
    """Return what a server runs when these jobs are posted in this order, one graph each, and nothing in between.

    Args:
        jobs: The distinct node results of each job.
        steps: What is known of the results.
        cached: Whether the server has ComfyUI's classic cache. At each prompt that drops everything which is not part of it, so
            that a node runs exactly if it was not part of the prompt before. Without a cache, all nodes of every job run.
    """
    return _count(new_results(jobs) if cached else jobs, steps)


def passes_of_submissions(submissions: Iterable[Sequence[tuple[int, ...]]], steps: Costs) -> Passes:
    """Return what a server without a cache runs when each submission of jobs is posted as one graph.

    Inside one graph, what several of its jobs need runs once.
    """
    return _count((set(chain.from_iterable(submission)) for submission in submissions), steps)


def new_results(jobs: Iterable[tuple[int, ...]]) -> Iterator[set[int]]:
    """Yield for each job what a server with ComfyUI's classic cache runs: what was not part of the job before."""
    previous: set[int] = set()
    for job in jobs:
        current = set(job)
        yield current - previous
        previous = current


def own_work(jobs: Iterable[tuple[int, ...]], steps: Costs) -> list[float]:
    """Return what each job costs where the one before it has just run, without loads of models, in weighted steps.

    Args:
        jobs: The distinct node results of each job.
        steps: What is known of the results.
    """
    return [sum(steps.cost(step) for step in new if steps.kind(step) != "load") for new in new_results(jobs)]


def _count(runs: Iterable[Iterable[int]], steps: Costs) -> Passes:
    counts: Counter[str] = Counter()
    weighted = 0.0
    for step, times in Counter(chain.from_iterable(runs)).items():
        counts[_FIELDS.get(steps.kind(step), "other")] += times
        weighted += times * steps.cost(step)
    return Passes(**counts, weighted=weighted)
