"""The jobs of a plan held against the servers of a run before the first is posted: every job has to be possible on one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from comfy_runner.errors import Note, Problem, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.capabilities import Fitness, fitness
from comfy_runner.planning.draft import Draft

_MOST_PROBLEMS = 50


def fit_all(drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool = False) -> tuple[Note, ...]:
    """Return what a server changes of these jobs, or raise one error with the problems of all.

    Args:
        drafts: The jobs.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.

    Raises:
        WorkflowError: The server would refuse one, or run it otherwise.
    """
    found = fitness(drafts, info, allow_partial=allow_partial)
    refuse_impossible(drafts, {info.source: found})
    return found.notes


def refuse_impossible(drafts: Sequence[Draft], fitnesses: Mapping[str, Fitness]) -> None:
    """Raise one error with the problems of all jobs that no server can do.

    Args:
        drafts: The jobs.
        fitnesses: What each server can do, by address; at least one.

    Raises:
        WorkflowError: There is such a job.
    """
    problems: dict[Problem, None] = {}
    for draft in _impossible(drafts, fitnesses):
        problems |= dict.fromkeys(_problems(draft, fitnesses))
        if len(problems) > _MOST_PROBLEMS:
            break
    if problems:
        raise WorkflowError.of(problems)


def impossible(drafts: Sequence[Draft], fitnesses: Mapping[str, Fitness]) -> dict[str, tuple[Problem, ...]]:
    """Return the jobs that no server can do, by id, each with the problems of all servers.

    Args:
        drafts: The jobs.
        fitnesses: What each server can do, by address; at least one.
    """
    return {draft.job_id: _problems(draft, fitnesses) for draft in _impossible(drafts, fitnesses)}


def _impossible(drafts: Sequence[Draft], fitnesses: Mapping[str, Fitness]) -> Iterator[Draft]:
    servers = list(fitnesses.values())
    if not any(server.everything for server in servers):
        for draft in drafts:
            if not any(server.can(draft) for server in servers):
                yield draft


def _problems(draft: Draft, fitnesses: Mapping[str, Fitness]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problem for server in fitnesses.values() for problem in server.problems(draft)))
