"""What one server can do of a plan's jobs, known for a hundred thousand of them without making their graphs.

Jobs have very few shapes, and what a server makes of a literal depends on no other literal of the job: each shape is held against
the server once, and so is each value of each input. Whole graphs are checked only for the words of a problem or a note, once for
all jobs of which the server says the very same. Before the first job is posted, every job has to be possible on one server.

The one place that knows whether a part of a job is better than nothing of it. Does not decide what becomes of a job that one server
cannot do (`scheduling.eligibility`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from comfy_runner.errors import Note, Problem, WorkflowError
from comfy_runner.graph.conformance import Checked, ShapeCheck, check, selectors
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.literals import Acceptance
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.prices import Price, price_of
from comfy_runner.graph.workflow import Workflow
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.planning.job_problems import JobProblems
from comfy_runner.planning.models import told_sources

_Extent = Literal["whole", "part", "nothing"]
_KindKey = tuple[Shape, tuple[str | None, ...]]


def capabilities_of(drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool = False, key_hint: str = "") -> Capabilities:
    """Hold jobs against a server.

    Args:
        drafts: The jobs.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.
        key_hint: How the server gets the API key without which it can do no job that calls a paid service; empty where it has
            one, or where none is needed yet.
    """
    kinds = _Kinds(info)
    rows: dict[_KindKey, list[Sequence[Any]]] = {}
    for draft in drafts:
        rows.setdefault(kinds.key(draft.filled), []).append(draft.filled.literals)
    kinds.update({key: _Kind(key[0], literals, info) for key, literals in rows.items()})
    return Capabilities(drafts, info, kinds, allow_partial=allow_partial, key_hint=key_hint)


def unsuitable_jobs(drafts: Sequence[Draft], mine: Capabilities, others: Sequence[Capabilities]) -> frozenset[int]:
    """Return the numbers of jobs that a server is not to do: it cannot, or only in part where another one can do them whole.

    Args:
        drafts: The jobs.
        mine: What the server can do.
        others: What the others can.
    """
    if mine.everything:
        return frozenset()
    return frozenset(
        number
        for number, draft in enumerate(drafts)
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
    problems = JobProblems(len(drafts))
    for job_id, found in impossible_jobs(drafts, by_server):
        if problems.add(job_id, found, WorkflowError):
            break
    problems.refuse()


def impossible_jobs(drafts: Sequence[Draft], by_server: Mapping[str, Capabilities]) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    """Yield the ids of the jobs that no server can do, each with the problems of all servers.

    Args:
        drafts: The jobs.
        by_server: What each server can do, by address; at least one.
    """
    servers = list(by_server.values())
    for draft in drafts if not any(server.everything for server in servers) else ():
        if not any(server.can(draft) for server in servers):
            yield draft.job_id, tuple(dict.fromkeys(problem for server in servers for problem in server.problems(draft)))


class Capabilities:
    """What one server can do of a plan's jobs; made by `capabilities_of`, and to be asked about the jobs that it was made for.

    Attributes:
        everything: Whether the server can do all of them, whole.
        calls_paid: Whether any of them calls a paid service there.
    """

    def __init__(
        self, drafts: Sequence[Draft], info: ObjectInfo, kinds: _Kinds, *, allow_partial: bool, key_hint: str = ""
    ) -> None:
        self.everything = all(kind.is_whole and not (key_hint and kind.paid) for kind in kinds.values())
        self.calls_paid = any(kind.paid for kind in kinds.values())
        self._drafts, self._info, self._kinds = drafts, info, kinds
        self._allow_partial, self._key_hint = allow_partial, key_hint
        self._problems: dict[Hashable, tuple[Problem, ...]] = {}

    def can_whole(self, draft: Draft) -> bool:
        """Return whether the server can do a job with all its outputs."""
        return self._extent(draft) == "whole"

    def can(self, draft: Draft) -> bool:
        """Return whether the server can do a job, or part of it where that is allowed."""
        return self._is_enough(self._extent(draft))

    def fit(self, planned: PlannedJob, draft: Draft | None = None) -> PlannedJob:
        """Return a job with its graph fitted to the server, without what it does not take where that is allowed.

        What the job *is* stays the same.

        Args:
            planned: The job.
            draft: What it was made of; None where its graph was changed since.

        Raises:
            WorkflowError: The server would refuse it, or run it otherwise.
        """
        answer = None if draft is None else self._same_answer(draft)
        if answer in self._kinds.untouched:
            return planned
        checked = self._checked(planned)
        if answer is not None and not checked.problems and not checked.notes:
            self._kinds.untouched.add(answer)  # whatever is changed is told
        if not self._is_enough("whole" if not checked.problems else "part" if checked.workflow.nodes else "nothing"):
            raise WorkflowError.of(checked.problems)
        return replace(planned, workflow=checked.workflow, notes=(*planned.notes, *checked.notes))

    def problems(self, draft: Draft) -> tuple[Problem, ...]:
        """Return why the server cannot do a job; empty where it can."""
        if self.can(draft):
            return ()
        answer = self._same_answer(draft)
        if answer not in self._problems:
            unpaid = [
                Problem(f"{name} calls a paid service, for which there is no API key", self._info.source, self._key_hint)
                for name in (self._kind(draft).paid if self._key_hint else ())
            ]
            self._problems[answer] = (*unpaid, *self._checked(draft.planned()).problems)
        return self._problems[answer]

    def price(self, draft: Draft) -> Price | None:
        """Return what a job costs there as a whole; None where it calls no paid service."""
        return price_of(draft.filled.workflow, self._info) if self._kind(draft).paid else None

    def price_of(self, workflow: Workflow) -> Price | None:
        """Return what a graph costs there; None where it calls no paid service."""
        return price_of(workflow, self._info)

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Return what the server changes of the jobs that it can do."""
        if self._kinds.examples is None:
            different: dict[Hashable, Draft] = {}
            for draft in self._drafts:
                if self.can(draft):
                    different.setdefault(self._same_answer(draft), draft)
            self._kinds.examples = tuple(different.values())
        return tuple(dict.fromkeys(note for draft in self._kinds.examples for note in self._checked(draft.planned()).notes))

    def of_equal_server(self, info: ObjectInfo, *, key_hint: str = "") -> Capabilities:
        """Return what another server can do that says the very same of its nodes (`ObjectInfo.fingerprint`)."""
        return Capabilities(self._drafts, info, self._kinds, allow_partial=self._allow_partial, key_hint=key_hint)

    def _is_enough(self, extent: _Extent) -> bool:
        return extent == "whole" or (extent == "part" and self._allow_partial)

    def _extent(self, draft: Draft) -> _Extent:
        kind = self._kind(draft)
        return "nothing" if self._key_hint and kind.paid else kind.extent(draft.filled.literals)

    def _kind(self, draft: Draft) -> _Kind:
        return self._kinds[self._kinds.key(draft.filled)]

    def _checked(self, planned: PlannedJob) -> Checked:
        header = planned.template.header
        return check(
            planned.workflow,
            self._info,
            where=f"template {planned.template.name}",
            locate=planned.locate,
            packs=header.packs,
            version=header.version,
            files=planned.open_files,
            models=told_sources(planned.job.recipe),
        )

    def _same_answer(self, draft: Draft) -> Hashable:
        """Return what is the same for jobs of which the server says the same, at the same places of their recipe."""
        key, variant = self._kinds.key(draft.filled), draft.variant
        # Which fields a point gives decides which of them is to blame, as with the factor or the size of an upscale.
        given = tuple(map(_form, variant.point))
        return key, self._kinds[key].remarks(draft.filled.literals), id(variant.loaded), given


class _Kinds(dict["_KindKey", "_Kind"]):
    """What servers that say the same can do of jobs, by their shape and the texts that decide which inputs nodes have.

    Attributes:
        examples: Of the jobs that they can do, one of each of which they say the very same; None where nobody has asked yet.
        untouched: What is the same for jobs of which they say nothing, so that these go there as they are; as far as is known.
    """

    def __init__(self, info: ObjectInfo) -> None:
        super().__init__()
        self.examples: tuple[Draft, ...] | None = None
        self.untouched: set[Hashable] = set()
        self._info = info
        self._selecting: dict[Shape, list[int]] = {}

    def key(self, filled: Filled) -> _KindKey:
        """Return the kind of a job by its graph."""
        shape, literals = filled.shape, filled.literals
        if shape not in self._selecting:
            selecting = selectors(shape.bare, self._info)
            self._selecting[shape] = [index for index, place in enumerate(shape.places) if place in selecting]
        texts = [literals[index] if type(literals[index]) is str else None for index in self._selecting[shape]]
        return shape, tuple(texts)


class _Kind:
    """What one server can do of the jobs of one shape whose nodes have the same inputs.

    Attributes:
        paid: Their node classes that call a paid service.
        is_whole: Whether it can do all of them, whole.
    """

    def __init__(self, shape: Shape, rows: Sequence[Sequence[Any]], info: ObjectInfo) -> None:
        self._check = ShapeCheck(shape.workflow(rows[0]), info)
        self.paid = info.paid(shape.bare.classes)
        # By the place of a literal: its node, and what the server makes of those values that it does not take without a word.
        self._odd: dict[int, tuple[str, dict[Hashable, Acceptance]]] = {}
        for index, (node_id, name) in enumerate(shape.places):
            odd: dict[Hashable, Acceptance] = {}
            for token, value in _different([row[index] for row in rows]).items():
                if (verdict := self._check.verdict(node_id, name, value)) != "fine":
                    odd[token] = verdict
            if odd:
                self._odd[index] = node_id, odd
        self._extents: dict[frozenset[str], _Extent] = {}
        self._best = self._extent(self._check.bad)
        self.is_whole = self._best == "whole" and not any("refused" in odd.values() for _, odd in self._odd.values())

    def extent(self, literals: Sequence[Any]) -> _Extent:
        bad = [id_ for index, (id_, odd) in self._odd.items() if odd.get(_token(literals[index])) == "refused"]
        return self._extent(self._check.bad.union(bad)) if bad else self._best

    def remarks(self, literals: Sequence[Any]) -> tuple[Hashable, ...]:
        tokens = [(index, _token(literals[index]), odd) for index, (_, odd) in self._odd.items()]
        return tuple([(index, token) for index, token, odd in tokens if token in odd])

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
