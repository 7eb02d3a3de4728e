"""What one server can do of a plan's jobs, known for a hundred thousand of them without making their graphs.

Jobs have very few shapes, and what a server makes of a literal depends on no other literal of the job: each shape is held against
the server once, and so is each value of each input. Whole graphs are checked only for the words of a problem or a note, once for
all jobs of which the server says the very same. Not here: what becomes of a job that one server cannot do.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from comfy_runner.errors import InputError, Note, Problem
from comfy_runner.graph.conformance import Acceptance, ShapeCheck
from comfy_runner.graph.filled import Shape
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.job_graph import fit

_Reach = Literal["whole", "part", "nothing"]


def fitness(drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool = False) -> Fitness:
    """Hold jobs against a server.

    Args:
        drafts: The jobs.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.
    """
    by_shape: dict[Shape, list[tuple[Any, ...]]] = {}
    for draft in drafts:
        by_shape.setdefault(draft.filled.shape, []).append(draft.filled.literals)
    standings = {shape: _Standing(shape, rows, info) for shape, rows in by_shape.items()}
    return Fitness(drafts, info, standings, allow_partial=allow_partial)


def unfit(drafts: Sequence[Draft], mine: Fitness, others: Sequence[Fitness]) -> frozenset[str]:
    """Return the ids of jobs that are nothing for a server: it cannot do them, or only in part and another one can do them whole.

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


class Fitness:
    """What one server can do of a plan's jobs; made by `fitness`, and to be asked about the jobs that it was made for.

    Attributes:
        everything: Whether the server can do all of them, whole.
    """

    def __init__(
        self, drafts: Sequence[Draft], info: ObjectInfo, standings: Mapping[Shape, _Standing], *, allow_partial: bool
    ) -> None:
        self.everything = all(standing.is_whole for standing in standings.values())
        self._drafts = drafts
        self._info = info
        self._standings = standings
        self._allow_partial = allow_partial
        self._problems: dict[Hashable, tuple[Problem, ...]] = {}

    def can_whole(self, draft: Draft) -> bool:
        """Return whether the server can do a job with all its outputs."""
        return self._standing(draft).reach(draft.filled.literals) == "whole"

    def can(self, draft: Draft) -> bool:
        """Return whether the server can do a job, or part of it where that is allowed."""
        reach = self._standing(draft).reach(draft.filled.literals)
        return reach == "whole" or (reach == "part" and self._allow_partial)

    def problems(self, draft: Draft) -> tuple[Problem, ...]:
        """Return why the server cannot do a job; empty where it can."""
        if self.can(draft):
            return ()
        kind = self._kind(draft)
        if kind not in self._problems:
            try:
                fit(draft.planned(), self._info, allow_partial=self._allow_partial)
            except InputError as error:
                self._problems[kind] = error.problems
        return self._problems[kind]

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Return what the server changes of the jobs that it can do."""
        found: dict[Note, None] = {}
        known: set[Hashable] = set()
        for draft in self._drafts:
            if self.can(draft) and (kind := self._kind(draft)) not in known:
                known.add(kind)
                planned = draft.planned()
                fitted = fit(planned, self._info, allow_partial=self._allow_partial)
                found |= dict.fromkeys(fitted.notes[len(planned.notes) :])
        return tuple(found)

    def seen_from(self, info: ObjectInfo) -> Fitness:
        """Return what another server can do that says the very same of its nodes (`ObjectInfo.fingerprint`)."""
        return Fitness(self._drafts, info, self._standings, allow_partial=self._allow_partial)

    def _standing(self, draft: Draft) -> _Standing:
        return self._standings[draft.filled.shape]

    def _kind(self, draft: Draft) -> Hashable:
        """Return what is the same for jobs of which the server says the same, at the same places of their recipe."""
        shape, variant = draft.filled.shape, draft.variant
        # Which fields a point gives decides which of them is to blame, as with the factor or the size of an upscale.
        given = tuple(map(_form, variant.point))
        return shape, self._standings[shape].told(draft.filled.literals), id(variant.loaded), given


@dataclass(frozen=True, slots=True)
class _Place:
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


class _Standing:
    """How the jobs of one shape stand with a server.

    Args:
        shape: The shape.
        rows: The literals of the jobs.
        info: What the server says of its nodes.

    Attributes:
        is_whole: Whether the server can do all of these jobs, whole.
    """

    def __init__(self, shape: Shape, rows: Sequence[tuple[Any, ...]], info: ObjectInfo) -> None:
        self._check = ShapeCheck(shape.bare, info)
        self._places: list[_Place] = []
        for index, (node_id, name) in enumerate(shape.places):
            found: dict[Acceptance, set[Hashable]] = {"fine": set(), "changed": set(), "refused": set()}
            for token, value in _different([row[index] for row in rows]).items():
                found[self._check.verdict(node_id, name, value)].add(token)
            if found["refused"] or found["changed"]:
                self._places.append(_Place(index, node_id, found["refused"], found["changed"]))
        self._refusing = [place for place in self._places if place.refused]
        self._reaches: dict[frozenset[str], _Reach] = {}
        self._best = self._reach(self._check.bad)
        self.is_whole = self._best == "whole" and not self._refusing

    def reach(self, literals: Sequence[Any]) -> _Reach:
        """Return how much the server can do of the job with these literals."""
        bad = [place.node_id for place in self._refusing if _token(literals[place.index]) in place.refused]
        return self._reach(self._check.bad.union(bad)) if bad else self._best

    def told(self, literals: Sequence[Any]) -> tuple[Hashable, ...]:
        """Return the literals that the server has something to say of."""
        tokens = [(place, _token(literals[place.index])) for place in self._places]
        return tuple([(place.index, token) for place, token in tokens if token in place.refused or token in place.changed])

    def _reach(self, bad: frozenset[str]) -> _Reach:
        if bad not in self._reaches:
            has_output = self._check.has_output_without(bad)
            self._reaches[bad] = "nothing" if not has_output else "part" if bad else "whole"
        return self._reaches[bad]


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
