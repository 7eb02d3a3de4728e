"""What one server can do of a plan's jobs, known for a hundred thousand of them without making their graphs.

Jobs have very few shapes, and what a server makes of a literal depends on no other literal of the job: each shape is held against
the server once, and so is each value of each input. Whole graphs are checked only for the words of a problem or a note, once for
all jobs of which the server says the very same. Before the first job is posted, every job has to be possible on one server.

Does not decide what becomes of a job that one server cannot do (`scheduling.eligibility`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from comfy_runner.errors import InputError, Note, Problem, WorkflowError
from comfy_runner.graph.conformance import Acceptance, ShapeCheck
from comfy_runner.graph.filled import Shape
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.draft import MOST_PROBLEMS, Draft
from comfy_runner.planning.job_graph import PlannedJob, fit

_Extent = Literal["whole", "part", "nothing"]


def capabilities_of(drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool = False) -> Capabilities:
    """Hold jobs against a server.

    Args:
        drafts: The jobs.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.
    """
    literals: dict[Shape, list[tuple[Any, ...]]] = {}
    for draft in drafts:
        literals.setdefault(draft.filled.shape, []).append(draft.filled.literals)
    by_shape = {shape: _ShapeCapabilities(shape, rows, info) for shape, rows in literals.items()}
    return Capabilities(drafts, info, by_shape, allow_partial=allow_partial)


def unsuitable_jobs(drafts: Sequence[Draft], mine: Capabilities, others: Sequence[Capabilities]) -> frozenset[str]:
    """Return the ids of jobs that a server is not to do: it cannot, or only in part where another one can do them whole.

    Args:
        drafts: The jobs.
        mine: What the server can do.
        others: What the others can.
    """
    if mine.everything:
        return frozenset()
    return frozenset(
        draft.job_id
        for draft in drafts
        if not mine.can(draft) or (not mine.can_whole(draft) and any(other.can_whole(draft) for other in others))
    )


def check_all(drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool = False) -> tuple[Note, ...]:
    """Return what a server changes of these jobs, or raise one error with the problems of all.

    Args:
        drafts: The jobs.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.

    Raises:
        WorkflowError: The server would refuse one, or run it otherwise.
    """
    found = capabilities_of(drafts, info, allow_partial=allow_partial)
    refuse_impossible(drafts, {info.source: found})
    return found.notes


def refuse_impossible(drafts: Sequence[Draft], by_server: Mapping[str, Capabilities]) -> None:
    """Raise one error with the problems of all jobs that no server can do.

    Args:
        drafts: The jobs.
        by_server: What each server can do, by address; at least one.

    Raises:
        WorkflowError: There is such a job.
    """
    problems: dict[Problem, None] = {}
    for draft in _impossible(drafts, by_server):
        problems |= dict.fromkeys(_problems(draft, by_server))
        if len(problems) > MOST_PROBLEMS:
            break
    if problems:
        raise WorkflowError.of(problems)


def impossible_jobs(drafts: Sequence[Draft], by_server: Mapping[str, Capabilities]) -> dict[str, tuple[Problem, ...]]:
    """Return the jobs that no server can do, by id, each with the problems of all servers.

    Args:
        drafts: The jobs.
        by_server: What each server can do, by address; at least one.
    """
    return {draft.job_id: _problems(draft, by_server) for draft in _impossible(drafts, by_server)}


class Capabilities:
    """What one server can do of a plan's jobs; made by `capabilities_of`, and to be asked about the jobs that it was made for.

    Attributes:
        everything: Whether the server can do all of them, whole.
    """

    def __init__(
        self, drafts: Sequence[Draft], info: ObjectInfo, by_shape: Mapping[Shape, _ShapeCapabilities], *, allow_partial: bool
    ) -> None:
        self.everything = all(shape.is_whole for shape in by_shape.values())
        self._drafts = drafts
        self._info = info
        self._by_shape = by_shape
        self._allow_partial = allow_partial
        self._problems: dict[Hashable, tuple[Problem, ...]] = {}

    def can_whole(self, draft: Draft) -> bool:
        """Return whether the server can do a job with all its outputs."""
        return self._of_shape(draft).extent(draft.filled.literals) == "whole"

    def can(self, draft: Draft) -> bool:
        """Return whether the server can do a job, or part of it where that is allowed."""
        extent = self._of_shape(draft).extent(draft.filled.literals)
        return extent == "whole" or (extent == "part" and self._allow_partial)

    def fit(self, planned: PlannedJob) -> PlannedJob:
        """Return a job with its graph fitted to the server, without what the server does not take where that is allowed.

        Raises:
            InputError: The server would refuse it.
        """
        return fit(planned, self._info, allow_partial=self._allow_partial)

    def problems(self, draft: Draft) -> tuple[Problem, ...]:
        """Return why the server cannot do a job; empty where it can."""
        if self.can(draft):
            return ()
        answer = self._same_answer(draft)
        if answer not in self._problems:
            try:
                self.fit(draft.planned())
            except InputError as error:
                self._problems[answer] = error.problems
        return self._problems[answer]

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Return what the server changes of the jobs that it can do."""
        found: dict[Note, None] = {}
        known: set[Hashable] = set()
        for draft in self._drafts:
            if self.can(draft) and (answer := self._same_answer(draft)) not in known:
                known.add(answer)
                planned = draft.planned()
                fitted = self.fit(planned)
                found |= dict.fromkeys(fitted.notes[len(planned.notes) :])
        return tuple(found)

    def of_equal_server(self, info: ObjectInfo) -> Capabilities:
        """Return what another server can do that says the very same of its nodes (`ObjectInfo.fingerprint`)."""
        return Capabilities(self._drafts, info, self._by_shape, allow_partial=self._allow_partial)

    def _of_shape(self, draft: Draft) -> _ShapeCapabilities:
        return self._by_shape[draft.filled.shape]

    def _same_answer(self, draft: Draft) -> Hashable:
        """Return what is the same for jobs of which the server says the same, at the same places of their recipe."""
        shape, variant = draft.filled.shape, draft.variant
        # Which fields a point gives decides which of them is to blame, as with the factor or the size of an upscale.
        given = tuple(map(_form, variant.point))
        return shape, self._by_shape[shape].remarks(draft.filled.literals), id(variant.loaded), given


@dataclass(frozen=True, slots=True)
class _RestrictedInput:
    """An input with a literal that the server does not take as it is.

    Attributes:
        index: Which literal it is of its shape.
        node_id: Its node.
        refused: The tokens of those that are a problem.
        changed: The tokens of those that go by another name.
    """

    index: int
    node_id: str
    refused: Set[Hashable]
    changed: Set[Hashable]


class _ShapeCapabilities:
    """What one server can do of the jobs of one shape.

    Args:
        shape: The shape.
        rows: The literals of the jobs.
        info: What the server says of its nodes.

    Attributes:
        is_whole: Whether the server can do all of these jobs, whole.
    """

    def __init__(self, shape: Shape, rows: Sequence[tuple[Any, ...]], info: ObjectInfo) -> None:
        self._check = ShapeCheck(shape.bare, info)
        self._restricted: list[_RestrictedInput] = []
        for index, (node_id, name) in enumerate(shape.places):
            found: dict[Acceptance, set[Hashable]] = {"fine": set(), "changed": set(), "refused": set()}
            for token, value in _different([row[index] for row in rows]).items():
                found[self._check.verdict(node_id, name, value)].add(token)
            if found["refused"] or found["changed"]:
                self._restricted.append(_RestrictedInput(index, node_id, found["refused"], found["changed"]))
        self._refusing = [each for each in self._restricted if each.refused]
        self._extents: dict[frozenset[str], _Extent] = {}
        self._best = self._extent(self._check.bad)
        self.is_whole = self._best == "whole" and not self._refusing

    def extent(self, literals: Sequence[Any]) -> _Extent:
        """Return how much the server can do of the job with these literals."""
        bad = [each.node_id for each in self._refusing if _token(literals[each.index]) in each.refused]
        return self._extent(self._check.bad.union(bad)) if bad else self._best

    def remarks(self, literals: Sequence[Any]) -> tuple[Hashable, ...]:
        """Return the literals that the server has something to say of."""
        tokens = [(each, _token(literals[each.index])) for each in self._restricted]
        return tuple([(each.index, token) for each, token in tokens if token in each.refused or token in each.changed])

    def _extent(self, bad: frozenset[str]) -> _Extent:
        if bad not in self._extents:
            has_output = self._check.has_output_without(bad)
            self._extents[bad] = "nothing" if not has_output else "part" if bad else "whole"
        return self._extents[bad]


def _different(values: Sequence[Any]) -> dict[Hashable, Any]:
    """Return the values by token, each once."""
    # Texts and whole numbers are their own tokens, and a hundred thousand calls would take longer than all the rest.
    plain = set(map(type, values)) <= {str, int}
    return dict(zip(values if plain else map(_token, values), values, strict=True))


def _token(value: Any) -> Hashable:
    """Return what is equal for the same values only: to a server True, 1 and 1.0 are not, and some values have no hash."""
    return value if type(value) in (str, int) else (repr(value),)


def _form(value: Any) -> object:
    return tuple((key, _form(item)) for key, item in value.items()) if isinstance(value, Mapping) else type(value)


def _impossible(drafts: Sequence[Draft], by_server: Mapping[str, Capabilities]) -> Iterator[Draft]:
    servers = list(by_server.values())
    if not any(server.everything for server in servers):
        for draft in drafts:
            if not any(server.can(draft) for server in servers):
                yield draft


def _problems(draft: Draft, by_server: Mapping[str, Capabilities]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problem for server in by_server.values() for problem in server.problems(draft)))
