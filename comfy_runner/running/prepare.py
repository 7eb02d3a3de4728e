"""From drafts to the submission that is posted: the graph made anew, fitted to the server, reduced to what is still missing.

When it is posted, and what becomes of it, is decided in `decide`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from comfy_runner.collect.a1111_text import parameters_of
from comfy_runner.engine.submission import Attempt, SubmittedJob
from comfy_runner.errors import ComfyRunnerError, InputError, JobFailed
from comfy_runner.graph.decoding import with_decoding
from comfy_runner.graph.prices import Price
from comfy_runner.graph.sizes import output_sizes
from comfy_runner.planning.capabilities import Capabilities
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.recipe.names import slug
from comfy_runner.store.about import metadata_of
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FileRecord
from comfy_runner.store.states import Change
from comfy_runner.text_files import place

_PREFIX_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Ready:
    """A job that can be posted.

    Attributes:
        job: What is posted of it; its graph is empty where the server cannot make what is missing.
        reusable: Files of earlier runs that are still good, by output role.
        left_out: Why the job will be partial even if all goes well; None where it will not.
        price: What that costs; None where it calls no paid service.
    """

    job: SubmittedJob
    reusable: Mapping[str, tuple[FileRecord, ...]]
    left_out: JobFailed | None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A job that need not be posted: all is there, or the server takes nothing of it, or cannot make what is missing.

    Attributes:
        job_id: The job.
        change: How it ends.
        error: Why it is not done; None where it is.
        files: What it has, by output role.
    """

    job_id: str
    change: Change
    error: ComfyRunnerError | None
    files: Mapping[str, tuple[FileRecord, ...]]


class Preparer:
    """Prepares jobs for one server.

    Args:
        folder: Where their pictures go.
        capabilities: What the server can do.
    """

    def __init__(self, folder: RunFolder, capabilities: Capabilities) -> None:
        self._folder, self._capabilities = folder, capabilities

    def pack(
        self,
        drafts: Iterable[Draft],
        prompt_id: str,
        *,
        attempts: Mapping[str, Sequence[Attempt]],
        forced: Collection[str] = (),
    ) -> tuple[list[Ready], list[Settled]]:
        """Return what is to be posted of jobs that go as one graph, and those that need not be posted.

        Args:
            drafts: The jobs.
            prompt_id: Their submission.
            attempts: What was tried before, by job.
            forced: The ids of jobs whose files are made again although they are there.
        """
        ready: list[Ready] = []
        settled: list[Settled] = []
        for number, draft in enumerate(drafts, 1):
            job_id = draft.job_id
            tried, reuse = attempts.get(job_id, ()), job_id not in forced
            try:
                found = self.prepare(draft, prompt_id=prompt_id, number=number, attempts=tried, reuse=reuse)
            except InputError as error:
                settled.append(Settled(draft.job_id, Change.FAILED, error, {}))
                continue
            if found.job.workflow.nodes:
                ready.append(found)
            else:
                change = Change.PARTIAL if found.left_out else Change.DONE
                settled.append(Settled(draft.job_id, change, found.left_out, found.reusable))
        return ready, settled

    def prepare(
        self, draft: Draft, *, prompt_id: str, number: int = 1, attempts: Sequence[Attempt] = (), reuse: bool = True
    ) -> Ready:
        """Return what is to be posted of a job.

        Args:
            draft: The job.
            prompt_id: Its submission, which is to be in the names of its files on the server.
            number: Which job of the submission it is.
            attempts: What was tried before.
            reuse: Whether files that are still good are not made again.

        Raises:
            InputError: The server would refuse it.
        """
        planned = draft.planned()
        if any(attempt.vae_decode == "tiled" for attempt in attempts):  # once that was needed it stays so
            fitted = self._capabilities.fit(replace(planned, workflow=with_decoding(planned.workflow, "tiled")))
        else:
            fitted = self._capabilities.fit(planned, draft)
        recipe = fitted.repeatable
        kept = {"metadata": metadata_of(recipe)}
        reusable = self._folder.reusable_files(fitted.job_id, fitted.content_hash, fitted.outputs, **kept) if reuse else {}
        workflow = fitted.workflow
        wanted = [node_id for role, node_id in workflow.outputs.items() if role not in reusable]
        if reusable:
            workflow = workflow.keep(workflow.ancestors(wanted))
        # A prefix of its own makes the server save a new file, however much of the rest it has in its cache.
        name = slug(PurePath(place(self._folder.path)).name)[:_PREFIX_LENGTH]
        start = "/".join(("comfy_runner", name or "run", fitted.job_id[:_PREFIX_LENGTH]))
        mark = prompt_id if number == 1 else f"{prompt_id}-{number}"
        prefixes = {role: f"{start}-{mark}-{slug(role)[:_PREFIX_LENGTH]}" for role in workflow.outputs}
        posted = workflow.with_prefixes(prefixes)
        job = SubmittedJob(
            job_id=fitted.job_id,
            content_hash=fitted.content_hash,
            outputs=fitted.outputs,
            sizes={**output_sizes(posted), **fitted.sizes},
            workflow=posted,
            recipe=recipe,
            template={"name": fitted.template.name, "sha256": fitted.template.sha256},
            recipe_name=draft.recipe_name,
            assignments=draft.assignments,
            notes=tuple(str(note) for note in fitted.notes),
            attempts=tuple(attempts),
            inputs=fitted.inputs,
            parameters=parameters_of(fitted),
            filled_from=fitted.job.filled_from,
        )
        return Ready(job, reusable, _left_out(fitted, reusable), self._capabilities.price_of(posted))


def _left_out(fitted: PlannedJob, reusable: Mapping[str, tuple[FileRecord, ...]]) -> JobFailed | None:
    roles = [role for role in fitted.outputs if role not in fitted.workflow.outputs and role not in reusable]
    reasons = [f"the server would refuse {role}" for role in roles]
    return JobFailed(f"left out: {'; '.join(reasons)}", where=fitted.job_id) if reasons else None
