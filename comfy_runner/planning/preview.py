"""Preview of a plan: compare it with the run folder and a server, as a run does at its start, without changing anything.

The run folder is neither created nor locked; another process may be rendering into it. `running.fleet_preview` does this for
several servers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.engine.info import CacheMode
from comfy_runner.engine.interface import NamedEngine
from comfy_runner.errors import Note
from comfy_runner.graph.decoding import DecodeMemory, largest_decode
from comfy_runner.graph.prices import Price
from comfy_runner.planning.arrange import Arrangement, arrange
from comfy_runner.planning.capabilities import capabilities_of, refuse_impossible
from comfy_runner.planning.costs import job_prices, unpaid
from comfy_runner.planning.draft import Plan
from comfy_runner.planning.duplicates import duplicates
from comfy_runner.planning.estimate import Estimate, WithBoundedLoads, earlier_speeds, fitting_speed
from comfy_runner.planning.first_guess import guessed_pace
from comfy_runner.planning.passes import passes
from comfy_runner.planning.summary import PlanSummary, needed, planned_rows
from comfy_runner.planning.survey import Survey, survey
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import ServerSpeed
from comfy_runner.store.local import folder_errors
from comfy_runner.store.remote import listed_once
from comfy_runner.store.run_folder import FolderView
from comfy_runner.text_files import url_of


@dataclass(frozen=True, slots=True)
class FolderPreview:
    """A plan compared with a run folder.

    Attributes:
        plan: All jobs of its recipes.
        chosen: The ids of the jobs to do.
        folder: The run folder; None for none.
        ledger: Its ledger, read-only; None where there is none.
        surveyed: The files that already exist.
        arrangement: The work to do.
        speeds: What is known of earlier jobs, as `fitting_speed` takes it; nothing where nothing is to be rendered.
    """

    plan: Plan
    chosen: frozenset[str]
    folder: Path | None
    ledger: Ledger | None
    surveyed: Survey
    arrangement: Arrangement
    speeds: Sequence[Sequence[ServerSpeed]]

    def summary(
        self, *, server: str, cache: CacheMode, memory: DecodeMemory | None, notes: tuple[Note, ...], device: str = ""
    ) -> PlanSummary:
        """Return the plan as one server would do it.

        Args:
            server: The server's URL; empty for none.
            cache: How it caches.
            memory: What decoding the largest picture takes; None where no size is known.
            notes: What the user should know.
            device: What the server calls its GPU, to guess a time by where no earlier jobs tell; empty for no guess.
        """
        steps, arrangement = self.plan.steps, self.arrangement
        chosen = [draft for draft in self.plan.drafts if draft.job_id in self.chosen]
        to_make = {draft.job_id for draft in arrangement.rendered}.union(arrangement.leaders)
        made = [draft for draft in chosen if draft.job_id in to_make]
        given = [draft.steps for draft in made]
        return PlanSummary(
            folder=self.folder,
            server=server,
            cache=cache,
            graphs=len(arrangement.submissions(cache)),
            jobs=tuple(planned_rows(chosen, self.surveyed, arrangement, steps, cache)),
            duplicates=duplicates(chosen),
            needed=needed(arrangement, steps, cache),
            as_given=passes(given, steps, cached=cache != "none"),
            unshared=passes(given, steps, cached=False),
            memory=memory,
            time=self._time(server, cache, device),
            disk=sum(draft.space_needed for draft in made),
            notes=notes,
        )

    @property
    def spent(self) -> float:
        """Return what all that was posted into the folder costs at most, US dollars."""
        return self.ledger.spent() if self.ledger is not None else 0.0

    def _time(self, server: str, cache: CacheMode, device: str) -> Estimate | None:
        rendered, speed = self.arrangement.rendered, fitting_speed(self.speeds, server=server)
        guess = guessed_pace(device, (draft.filled for draft in rendered)) if speed is None and rendered else None
        if speed is None and guess is None:
            return None
        work = needed(self.arrangement, WithBoundedLoads(self.plan.steps), cache).weighted
        if guess is not None:
            return Estimate(work / guess.steps, server, 0, guess.device)
        return Estimate(work * speed.seconds / speed.work, speed.server, speed.jobs) if speed else None


@contextlib.contextmanager
def preview_folder(plan: Plan, chosen: frozenset[str], folder: Path | None, *, force: bool = False) -> Iterator[FolderPreview]:
    """Compare a plan with a run folder; its ledger stays open inside the context.

    Args:
        plan: All jobs of its recipes.
        chosen: The ids of the jobs to do.
        folder: The run folder, which need not exist; None for none.
        force: Whether finished jobs are rendered again.

    Raises:
        RunFolderError: The folder cannot be read.
    """
    with contextlib.ExitStack() as stack:
        ledger = _ledger(folder)
        if ledger is not None:
            stack.enter_context(ledger)
        surveyed = _surveyed(plan, folder, ledger, forced=chosen if force else frozenset())
        arrangement = arrange(plan, chosen, surveyed, ledger=ledger, force=force)
        speeds = [] if folder is None or not arrangement.groups else earlier_speeds(folder, ledger)
        yield FolderPreview(plan, chosen, folder, ledger, surveyed, arrangement, speeds)


def preview(
    plan: Plan,
    chosen: frozenset[str],
    folder: Path | None,
    *,
    connect: Callable[[], NamedEngine] | None,
    force: bool = False,
    allow_partial: bool = False,
) -> PlanSummary:
    """Return a plan for one server, or for none.

    Args:
        plan: All jobs of its recipes.
        chosen: The ids of the jobs to do.
        folder: The run folder, which need not exist; None for none.
        connect: Returns the server; None for no server.
        force: Whether finished jobs are rendered again.
        allow_partial: Whether outputs that the server would refuse are left out.

    Raises:
        InputError: The server would refuse a job.
        ServerError: The server does not answer, or refuses.
        RunFolderError: The folder cannot be read.
    """
    with preview_folder(plan, chosen, folder, force=force) as seen:
        named = connect() if connect else None
        engine = named.engine if named else None
        info = engine.info() if engine else None
        rendered = seen.arrangement.rendered
        memory, warnings = largest_decode([draft.filled for draft in rendered], vram_total=info.vram_total if info else None)
        notes = dict.fromkeys([*plan.notes, *warnings])
        prices: Mapping[str, Price] = {}
        if engine is not None and named is not None:
            found = capabilities_of(rendered, engine.object_info(), allow_partial=allow_partial)
            refuse_impossible(rendered, {engine.url: found})
            prices = job_prices(rendered, [found])
            notes |= dict.fromkeys([*found.notes, *unpaid(rendered, found, named.key_hint)])
        cache = info.cache if info else "unknown"
        device = info.devices[0].name if info and info.devices else ""
        summary = seen.summary(server=info.url if info else "", cache=cache, memory=memory, notes=tuple(notes), device=device)
        return summary.with_prices(prices, spent=seen.spent)


def _ledger(folder: Path | None) -> Ledger | None:
    """Open the ledger of a run folder read-only; None where there is none, or one in which nothing was ever written."""
    if folder is None:
        return None
    path = folder / FILE
    with folder_errors(path):
        has_one = path.exists() and path.stat().st_size > 0
    return Ledger(path, readonly=True) if has_one else None


def _surveyed(plan: Plan, folder: Path | None, ledger: Ledger | None, *, forced: frozenset[str]) -> Survey:
    if folder is None or not (url_of(folder) or folder.exists()):
        return Survey(frozenset(), frozenset(), {}, {})
    view = FolderView(folder)
    with listed_once(view.store):
        return survey(plan.drafts, view, ledger, forced=forced)
