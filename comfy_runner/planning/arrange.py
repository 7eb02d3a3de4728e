"""A plan held against a run folder: what is done, what is rendered in which order, who shares whose pictures.

Nothing is rendered here, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from comfy_runner.engine.info import CacheMode
from comfy_runner.planning.draft import Draft, Plan
from comfy_runner.planning.order import groups, order, split
from comfy_runner.planning.survey import Survey
from comfy_runner.store.ledger import Ledger

MOST_IN_A_GRAPH = 16
"""Jobs that are posted as one graph at most: each keeps a decoded picture in the server's memory until all have ended."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is to be done.

    Attributes:
        groups: The jobs to render, in order; those of one group share model loads and first passes, and stay on one server.
        shared: The jobs that get the pictures of another one, by that one's id.
        awaited: The jobs that an earlier process has submitted.
    """

    groups: Sequence[Sequence[Draft]]
    shared: Mapping[str, Sequence[Draft]]
    awaited: Sequence[Draft]

    @property
    def leaders(self) -> dict[str, str]:
        """Return for each job that shares another one's pictures which one that is."""
        return {draft.job_id: leader_id for leader_id, drafts in self.shared.items() for draft in drafts}

    def submissions(self, cache: CacheMode) -> list[Sequence[Draft]]:
        """Return the jobs to render as one server with such a cache is to be given them: without any, a group is one graph."""
        if cache != "none":
            return [(draft,) for draft in self.rendered]
        return [
            [group[index] for index in part] for group in self.groups for part in split(range(len(group)), most=MOST_IN_A_GRAPH)
        ]

    @property
    def rendered(self) -> list[Draft]:
        """Return the jobs to render, in order."""
        return [draft for group in self.groups for draft in group]


def arrange(
    plan: Plan,
    selected: Collection[str],
    surveyed: Survey,
    *,
    ledger: Ledger | None,
    force: bool = False,
) -> Arrangement:
    """Arrange what is to be done.

    Args:
        plan: All jobs.
        selected: The ids of those that are to be done.
        surveyed: What is there.
        ledger: Of the run folder; None where there is none yet.
        force: Whether pictures that are there already are not good enough to be shared.
    """
    chosen = [draft for draft in plan.drafts if draft.job_id in selected]
    todo = [draft for draft in chosen if draft.job_id not in surveyed.done and draft.job_id not in surveyed.submitted]
    awaited = [draft for draft in chosen if draft.job_id in surveyed.submitted]
    first: dict[str, str] = {}
    if not force:
        if ledger is not None:
            planned = {draft.job_id for draft in plan.drafts}
            known = ledger.done_with({draft.pixel_hash for draft in todo})
            # What a job of this plan has is what it was, which it need not be any more.
            first = {pixels: job_id for pixels, job_id in known.items() if job_id not in planned or job_id in surveyed.done}
        first |= _first(draft for draft in chosen if draft.job_id in surveyed.done)
    for pixels, job_id in _first([*awaited, *todo]).items():
        first.setdefault(pixels, job_id)
    shared: dict[str, list[Draft]] = {}
    rendered: list[Draft] = []
    for draft in todo:
        leader_id = first[draft.pixel_hash]
        if leader_id == draft.job_id:
            rendered.append(draft)
        else:
            shared.setdefault(leader_id, []).append(draft)
    ordered = [rendered[index] for index in order([draft.steps for draft in rendered], plan.steps)]
    found = groups([draft.steps for draft in ordered], plan.steps)
    return Arrangement([[ordered[index] for index in group] for group in found], shared, awaited)


def _first(drafts: Iterable[Draft]) -> dict[str, str]:
    found: dict[str, str] = {}
    for draft in drafts:
        found.setdefault(draft.pixel_hash, draft.job_id)
    return found
