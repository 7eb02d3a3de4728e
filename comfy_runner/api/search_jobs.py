"""The jobs of a search for the best value: which there are, what is measured of them, and how some of them are rendered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from comfy_runner.api.importing import asking, loading
from comfy_runner.api.jobs import begin_jobs, draft_jobs, run_folder
from comfy_runner.api.run_dates import dated
from comfy_runner.api.search_fields import first_of, refuse_numbers, search_fields
from comfy_runner.api.search_grid import refuse_many, search_grid, values_beside
from comfy_runner.api.search_results import FindPlan, SearchResult, SearchStep
from comfy_runner.config import Config, ServerConfig
from comfy_runner.errors import InputError, VerificationError
from comfy_runner.planning.draft import Plan
from comfy_runner.planning.preview import preview
from comfy_runner.recipe.load import LoadedRecipe
from comfy_runner.recipe.overrides import AXIS
from comfy_runner.recipe.sources import RecipeSource, load_all
from comfy_runner.recipe.sweep.expand import Variant, expand
from comfy_runner.report.calibrations import CHECKPOINT, limits_kept_for
from comfy_runner.report.found import Beginning, read_search, write_search
from comfy_runner.report.measure_run import measure_all
from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.run_data import Material, read_material
from comfy_runner.report.suggest import Limits, how_sure
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from comfy_runner.search import several_fields
from comfy_runner.search.curves import Seen, Trial, Trials
from comfy_runner.search.one_field import AT_ONCE, settled
from comfy_runner.search.path import USUAL_JOBS, Way, follow, most_jobs
from comfy_runner.search.space import Space
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import JobRow
from comfy_runner.store.refresh import refresh
from comfy_runner.store.status import require_run
from comfy_runner.text_files import is_file, shown, url_of


class SearchJobs:
    """A recipe's jobs, as places of a search."""

    def __init__(
        self,
        recipe: RecipeSource,
        over: str | Sequence[str] | None,
        max_drift: float | None,
        tolerance: float | None,
        jobs: int | None,
        *,
        server: str | ServerConfig | Sequence[str | ServerConfig] | None,
        out: Path | str | None,
        sets: Sequence[str],
        sweeps: Sequence[str],
        templates: Sequence[Path],
        config: Config,
        calibrated: bool,
    ) -> None:
        self._server, self._config = server, config
        # A server that waits while another one renders is one too many.
        self.begun = Beginning((), max(AT_ONCE, len(servers := config.find_servers(server))))
        self._problems: dict[str, str] = {}
        self._drafts: Plan | None = None
        self._asked: dict[tuple[tuple[tuple[Trial, Seen], ...], bool], list[Trial]] = {}
        self._templates = (*templates, *config.templates)
        ask = asking(servers, None, config, None)

        def load(axes: Mapping[str, str]) -> LoadedRecipe:
            given = [*sweeps, *(f"{field}={values}" for field, values in axes.items())]
            try:
                found = load_all([recipe], sets=sets, sweeps=given, load_one=loading(ask, self._templates))
                return dated(found, run_folder(found, out))[0]
            except InputError as error:
                # The user has called it so.
                own = tuple(f"{AXIS} {field}" for field in axes)
                problems = [
                    replace(problem, where=problem.where.replace(AXIS, "--over", 1)) if problem.where.startswith(own) else problem
                    for problem in error.problems
                ]
                raise type(error).of(problems) from None

        asked = load({})
        given = asked.recipe.find
        spacing = first_of(tolerance, given and given.tolerance)
        usual = limits_kept_for(lambda: _checkpoints(asked)) if calibrated else Limits()
        self._limits = replace(usual, drift=first_of(max_drift, given and given.max_drift, usual.drift))
        self._jobs: int | None = first_of(jobs, given and given.jobs)
        refuse_numbers(self._limits.drift, spacing, self._jobs)
        fields = search_fields(asked, over, spacing)
        self.folder = run_folder([asked], out)
        if ends := {field.name: field.ends for field in fields if field.ends}:
            load(ends)  # what is wrong with them is not to be told of each value between
        texts = {field.name: field.text for field in fields}
        wanted = {field.name: field.values(expand(load({field.name: field.text})), alone=len(fields) == 1) for field in fields}
        refuse_many([*map(len, wanted.values())])
        variants = expand(load(texts))
        known = [row for row in self._rows() if not row.removed]
        beside = values_beside(wanted, [row.assignments for row in known])
        if any(beside.values()):
            both = {field: sorted({*wanted[field], *values}) for field, values in beside.items() if values}
            variants = expand(load(texts | {field: ",".join(map(repr, values)) for field, values in both.items()}))
        self._grid = search_grid(variants, wanted, beside, {row.job_id for row in known}, self._look)

    def _look(self, variants: Sequence[Variant]) -> tuple[Mapping[str, str], Collection[str]]:
        self._variants = variants
        return {draft.job_id: draft.pixel_hash for draft in self._drafted().drafts}, self._done()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are searched."""
        return tuple(self._grid.over)

    @cached_property
    def _space(self) -> Space:
        """What is searched, where that is several fields."""
        steps = self._drafted().steps
        first = {
            draft.job_id: tuple(step for step in draft.steps if steps.kind(step) == "first") for draft in self._drafted().drafts
        }
        return self._grid.space(seed=int(self.key[:8], 16), shares=first)

    def _drafted(self) -> Plan:
        """Return the graphs of all jobs, with the seeds that the run folder has drawn so far."""
        if self._drafts is None:
            self._drafts = draft_jobs(self._variants, self.folder, templates=self._templates)
        return self._drafts

    def _done(self) -> set[str]:
        """Return the jobs whose pictures are there, as their recipe would have them now."""
        known = {row.job_id for row in self._rows()}
        drafted = self._drafted()
        # Of a large search, few jobs are in the folder.
        there = replace(drafted, drafts=tuple(draft for draft in drafted.drafts if draft.job_id in known))
        if not there.drafts:
            return set()
        rows = preview(there, frozenset(known), self.folder, connect=None, force=False, allow_partial=False).jobs
        return {row.job_id for row in rows if row.state == "done"}

    def _rows(self) -> list[JobRow]:
        """Return the jobs that the run folder has; nothing where it is not there or empty."""
        if url_of(self.folder):
            refresh(self.folder)
            is_there = is_file(self.folder / FILE)
        else:
            is_there = self.folder.is_dir() and any(self.folder.iterdir())
        if not is_there:
            return []
        require_run(self.folder)
        with Ledger(self.folder / FILE, readonly=True) as ledger:
            return list(ledger.jobs())

    @cached_property
    def key(self) -> str:
        """What is equal for calls that search for the same in the same way."""
        points = [self._grid.named(number) for number in range(len(self._grid.points))]
        limits = {**self._limits.most(), "drift_cost": self._limits.drift_cost}  # wherever they come from
        asked = [self.fields, points, self._grid.series, limits, self._jobs or USUAL_JOBS]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    @property
    def most(self) -> int:
        """The most places that the search may ask for."""
        grid = self._grid
        if len(self.fields) > 1:
            return min(self._jobs or USUAL_JOBS, max(2, grid.combinations * len(grid.series) // 2))
        return most_jobs(len(grid.points), len(grid.series), jobs=self._jobs)

    def plan(self) -> FindPlan:
        """Return what the search has before it."""
        done = self._done()
        return FindPlan(
            folder=self.folder,
            over=self._grid.over,
            limits=self._limits,
            combinations=self._grid.combinations,
            same=len(self._grid.numbers) - self._grid.combinations,
            series=len(self._grid.series),
            done=sum(variant.job_id in done for variant in self._grid.jobs.values()),
            most=self.most,
        )

    def had(self) -> Mapping[Trial, Seen]:
        """Return what was measured before the search began, and write down whose that is, so that a later call knows it, too."""
        measured = self.measured()
        before = read_search(self.folder, self.key)
        ids = [self._grid.jobs[place].job_id for place in measured]
        self.begun = before or replace(self.begun, had=ids)
        had = {*self.begun.had}
        return {place: seen for place, seen in measured.items() if self._grid.jobs[place].job_id in had}

    def measured(self) -> dict[Trial, Seen]:
        """Return what is measured of the jobs that are done."""
        self._problems = {}
        done = self._done()
        if not done:
            return {}
        material = read_material(self.folder)
        told, _ = measure_all(material)
        by_job = _by_job(material, told)
        found = {}
        for place, variant in self._grid.jobs.items():
            if variant.job_id not in done:
                continue
            known = by_job.get(variant.job_id, [])
            measures = [each.measures for each in known if each.measures is not None]
            if measures and len(measures) == len(known):
                found[place] = _seen(measures, self._limits)
            else:
                self._problems[variant.job_id] = next((each.problem for each in known if each.problem), "has no picture to measure")
        return found

    def way(self, had: Mapping[Trial, Seen], measured: Mapping[Trial, Seen]) -> Way:
        """Return how far the search has come."""
        ask = self._ask if len(self.fields) > 1 else None
        values, series = len(self._grid.points), len(self._grid.series)
        return follow(had, measured, values=values, series=series, most=self.most, at_once=self.begun.at_once, ask=ask)

    def _ask(self, known: Trials, is_late: bool) -> list[Trial]:
        """Return what a search over several fields asks for; what it has asked for before is not worked out again."""
        told = tuple(known.items()), is_late
        if told not in self._asked:
            self._asked[told] = several_fields.next_places(known, is_late, space=self._space, at_once=self.begun.at_once)
        return self._asked[told]

    def step(self, place: Trial, seen: Seen) -> SearchStep:
        """Return what was found at a place."""
        return SearchStep(
            job_id=self._grid.jobs[place].job_id,
            values=self._grid.named(place[0]),
            detail=seen.detail,
            drift=seen.drift,
            allowed=not seen.is_out,
        )

    def refuse_unmeasured(self, places: Sequence[Trial]) -> None:
        """Refuse to go on where a job is done and cannot be measured."""
        for place in places:
            job_id = self._grid.jobs[place].job_id
            if job_id in self._problems:
                raise VerificationError(f"cannot be measured: {self._problems[job_id]}", where=f"{shown(self.folder)}/{job_id}")

    def render(self, places: Sequence[Trial], *, policy: Policy, say: Callable[[str], None] | None) -> Run:
        """Begin a run of the jobs at some places, beside those that the run folder has."""
        asked = frozenset(self._grid.jobs[place].job_id for place in places)
        known = {row.job_id for row in self._rows()}
        run = begin_jobs(
            [variant for variant in self._variants if variant.job_id in asked or variant.job_id in known],
            asked,
            self.folder,
            server=self._server,
            templates=self._templates,
            policy=policy,
            config=self._config,
            say=say,
        )
        if any(variant.draw for variant in self._variants):
            self._drafts = None  # the run may have drawn seeds
        write_search(self.folder, self.key, self.begun)
        # Only the first of its runs meets servers that are just starting.
        self._config = self._config.model_copy(update={"wait": 0.0})
        return run

    def found(self, plan: FindPlan, way: Way, steps: tuple[SearchStep, ...]) -> SearchResult:
        """Return what the search has found at its end."""
        choice = way.choice
        rows: dict[int, list[Seen]] = {}
        for (number, _), seen in way.known.items():
            rows.setdefault(number, []).append(seen)
        here = rows.get(choice, []) if choice is not None else []
        allowed = {
            number: fmean(seen.worth for seen in row.values())
            for number, row in enumerate(settled(way.known, len(self._grid.points), len(self._grid.series)))
            if row and number != choice and not any(seen.is_out for seen in row.values())
        }
        second = max(allowed, key=lambda number: allowed[number], default=None)
        below = above = None
        if choice is not None and len(self.fields) == 1:
            below = max((number for number in rows if number < choice), default=None)
            above = min((number for number in rows if number > choice), default=None)
        return SearchResult(
            plan=plan,
            values={} if choice is None else self._grid.named(choice),
            same=() if choice is None else self._grid.same[choice],
            below=self._only_value(below),
            above=self._only_value(above),
            above_is_out=above is not None and any(seen.is_out for seen in rows[above]),
            second={} if choice is None or second is None else self._grid.named(second),
            second_detail=None if second is None else fmean(seen.detail for seen in rows[second]),
            later=0 if choice is None else len(rows) - 1 - [*rows].index(choice),
            detail=fmean(seen.detail for seen in here) if here else None,
            drift=fmean(seen.drift for seen in here) if here else None,
            spread=max(seen.drift for seen in here) - min(seen.drift for seen in here) if here else None,
            rendered_series=len(here),
            sureness=how_sure(way.agreement) if way.agreement is not None else "not sure" if way.is_cut else "fairly sure",
            steps=steps,
        )

    def _only_value(self, number: int | None) -> Any:
        return None if number is None else self._grid.named(number)[self.fields[0]]


def _by_job(material: Material, measured: Mapping[str, Measured]) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for entry in material.entries:
        if entry.name in measured:
            found.setdefault(entry.job_id, []).append(measured[entry.name])
    return found


def _checkpoints(loaded: LoadedRecipe) -> set[str]:
    """Return the checkpoints of all jobs that a recipe has."""
    own = loaded.recipe.checkpoint or ""
    return {str(variant.assignments.get(CHECKPOINT, own)) for variant in expand(loaded)}


def _seen(measures: Sequence[Measures], limits: Limits) -> Seen:
    """Return what is to be known of a job; of several outputs, the worst counts, and the mean of their detail."""
    reaches = [getattr(one, name) / limit for one in measures for name, limit in limits.most().items()]
    drift = max(one.drift for one in measures)
    return Seen(
        reach=max(reaches),
        drift=drift,
        detail=fmean(one.detail for one in measures),
        cost=limits.drift_cost * drift,
        vetoed=any(one.vetoes for one in measures),
    )
