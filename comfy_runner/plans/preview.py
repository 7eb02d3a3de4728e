"""A plan looked at before any work: held against the run folder and the server as `begin` does, but nothing is changed.

The run folder is neither made nor locked; somebody else may be rendering into it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from comfy_runner.comfyui.about import About
from comfy_runner.comfyui.http import ComfyHttp
from comfy_runner.folder.ledger import FILE, Ledger, open_ledger
from comfy_runner.folder.view import FolderView, folder_errors
from comfy_runner.plans.arrange import Arrangement, arrange
from comfy_runner.plans.decodes import largest_decode
from comfy_runner.plans.drafts import Plan
from comfy_runner.plans.estimate import Estimate, WithoutLoads, earlier_speeds, fitting_speed
from comfy_runner.plans.fitting import fit_all
from comfy_runner.plans.summary import PlanSummary, needed, summarise
from comfy_runner.plans.survey import Survey, survey
from comfy_runner.workflow.memory import vram_total
from comfy_runner.workflow.object_info import ObjectInfo


def preview(
    plan: Plan,
    chosen: frozenset[str],
    folder: Path | None,
    *,
    connect: Callable[[], ComfyHttp] | None,
    force: bool = False,
    allow_partial: bool = False,
) -> PlanSummary:
    """Look at a plan.

    Args:
        plan: All jobs of its recipes.
        chosen: The ids of those that are to be done.
        folder: The run folder, which need not be there; None where none is looked at.
        connect: Gives a client for the server; None for no server.
        force: Whether jobs that are done are rendered again.
        allow_partial: Whether outputs that the server would refuse are left out.

    Raises:
        InputError: The server would refuse a job.
        ServerError: The server cannot be asked.
        RunFolderError: What is in the folder cannot be read.
    """
    with contextlib.ExitStack() as stack:
        ledger = _ledger(folder)
        if ledger is not None:
            stack.enter_context(ledger)
        surveyed = _surveyed(plan, folder, ledger, forced=chosen if force else frozenset())
        http = connect() if connect else None
        stats = http.system_stats() if http else {}
        about = About.from_stats(http.address.url if http else "", stats)
        cache = about.cache if http else "unknown"
        arrangement = arrange(plan, chosen, surveyed, ledger=ledger, force=force)
        memory, warnings = largest_decode(arrangement.rendered, vram_total=vram_total(stats))
        notes = dict.fromkeys([*plan.notes, *warnings])
        if http is not None:
            info = ObjectInfo(http.object_info(), source=http.address.url)
            notes |= dict.fromkeys(fit_all(arrangement.rendered, info, allow_partial=allow_partial))
        return summarise(
            plan,
            chosen,
            surveyed,
            arrangement,
            folder=folder,
            server=about.url,
            cache=cache,
            memory=memory,
            time=_time(plan, arrangement, folder, ledger, about),
            notes=tuple(notes),
        )


def _ledger(folder: Path | None) -> Ledger | None:
    """Open the ledger of a run folder read-only; None where there is none, or one in which nothing was ever written."""
    if folder is None:
        return None
    path = folder / FILE
    with folder_errors(path):
        has_one = path.exists() and path.stat().st_size > 0
    return open_ledger(path, readonly=True) if has_one else None


def _surveyed(plan: Plan, folder: Path | None, ledger: Ledger | None, *, forced: frozenset[str]) -> Survey:
    if folder is None or not folder.exists():
        return Survey(frozenset(), frozenset(), {}, {})
    return survey(plan.drafts, FolderView(folder), ledger, forced=forced)


def _time(plan: Plan, arrangement: Arrangement, folder: Path | None, ledger: Ledger | None, about: About) -> Estimate | None:
    if folder is None or not arrangement.groups:
        return None
    speed = fitting_speed(earlier_speeds(folder, ledger), server=about.url)
    if speed is None:
        return None
    work = needed(arrangement, WithoutLoads(plan.steps), about.cache).weighted
    return Estimate(work * speed.seconds / speed.work, speed.server, speed.jobs)
