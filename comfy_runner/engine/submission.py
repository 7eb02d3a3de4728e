"""What is posted at once: one graph, usually of one job; several that share a first pass where a server keeps no cache.

A submission holds all that collecting it takes, so that a process which knows nothing of the plan can do it, after a crash: it goes
into the ledger before it is posted. How it is made of drafts is told in `running.prepare`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from comfy_runner._version import __version__
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.graph.merge import merge
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.input_files import InputFile, names_in
from comfy_runner.recipe.fields import COMFYUI
from comfy_runner.store.about import about_job, metadata_of, without_recipe
from comfy_runner.store.interface import is_key
from comfy_runner.store.ledger_rows import job_id_of
from comfy_runner.store.sidecar import HASH

STREAMED = "SaveImageWebsocket"
"""The class of the nodes whose pictures come over the websocket alone: they are in no history and no file."""

MOST_STREAMED_BYTES = 256 * 1024 * 1024
"""Longest such picture whose size in pixels was not planned, about 64 million pixels."""

_BESIDE_PIXELS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that was in vain, and what is done differently after it.

    Attributes:
        reason: ``server_lost``, ``out_of_memory`` or ``flat_picture``.
        what: What went wrong, for people.
        freed: Whether the server was asked to free its memory.
        vae_decode: ``tiled`` where pictures are decoded in tiles from now on; empty where nothing changes.
    """

    reason: str
    what: str
    freed: bool = False
    vae_decode: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for a sidecar."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """One job of a submission.

    Attributes:
        job_id: The job.
        content_hash: What it is.
        outputs: Where each role's picture goes, relative to the run folder.
        sizes: The size in pixels of each output role, where it is known.
        workflow: The job's own graph, fitted to the server, with file prefixes that no other submission has; only what is still
            to be made.
        recipe: A complete recipe that makes this job again.
        template: Name and sha256 of the template file.
        recipe_name: The recipe that it belongs to.
        assignments: The values of the sweep's fields.
        notes: What the program adjusted or warned of.
        attempts: What was tried before.
        inputs: The files that it reads.
        parameters: A1111's text of how a role's picture was made, by role, where the recipe wants it in its pictures.
        filled_from: The recipe's fields that its prompts were filled in from, as they are written.
    """

    job_id: str
    content_hash: str
    outputs: Mapping[str, str]
    sizes: Mapping[str, Size]
    workflow: Workflow
    recipe: Mapping[str, Any]
    template: Mapping[str, str]
    recipe_name: str = ""
    assignments: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    filled_from: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prefixes(self) -> dict[str, str]:
        """Return the file prefix of each node that saves under one."""
        nodes = self.workflow.nodes.items()
        return {node_id: str(node.inputs["filename_prefix"]) for node_id, node in nodes if "filename_prefix" in node.inputs}

    @property
    def about(self) -> dict[str, Any]:
        """Return what its pictures are to say of themselves."""
        return about_job(
            job_id=self.job_id,
            content_hash=self.content_hash,
            recipe=self.recipe,
            template=self.template,
            inputs=[file.to_json() for file in self.inputs],
        )

    def owns(self, node_id: str, file: ServerFile) -> bool:
        """Return whether a file of a node is this job's for certain, by its name, or since its node uses no name twice."""
        node = self.workflow.nodes[node_id]
        prefix = self.prefixes.get(node_id)
        return not node.names_its_files if prefix is None else prefix.rpartition("/")[2] in file.filename

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {name: getattr(self, name) for name in _FIELDS} | {
            "sizes": {role: [size.width, size.height] for role, size in self.sizes.items()},
            "workflow": self.workflow.to_api(),
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "inputs": [file.to_json() for file in self.inputs],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SubmittedJob:
        """Return what `to_json` gave.

        Raises:
            ValueError: It is something else; also KeyError and TypeError.
        """
        outputs, workflow = dict(data["outputs"]), parse_workflow(data["workflow"])
        # Whoever can write the ledger names a server, too: what comes from there goes nowhere but into the folder.
        if not all(map(is_key, outputs.values())) or not workflow.collected.keys() <= outputs.keys():
            raise ValueError("an output goes nowhere, or out of the run folder")
        if not HASH.fullmatch(data["content_hash"]):
            raise ValueError("not a hash, which is to name a folder")
        if not (isinstance(data["recipe"], dict) and isinstance(data["template"], dict)):
            raise ValueError("not a recipe, or not a template, of which pictures are to tell")
        read: dict[str, Any] = {
            "job_id": job_id_of(data["job_id"]),
            "outputs": outputs,
            "sizes": {role: Size(*size) for role, size in data["sizes"].items()},
            "workflow": workflow,
            "notes": tuple(data["notes"]),
            "attempts": tuple(Attempt(**attempt) for attempt in data["attempts"]),
            "inputs": tuple(InputFile.from_json(file) for file in data.get("inputs", ())),
            "parameters": {str(role): str(text) for role, text in dict(data.get("parameters", {})).items()},
            "filled_from": dict(data.get("filled_from", {})),
        }
        return cls(**{name: data[name] for name in _FIELDS if name not in read}, **read)


_FIELDS = tuple(each.name for each in fields(SubmittedJob))


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission.

    Attributes:
        prompt_id: Minted by us.
        jobs: Its jobs; none where only its id is known.
        workflow: The graph to post.
        ids: For each job, the id in `workflow` of each node of its own graph.
    """

    prompt_id: str
    jobs: tuple[SubmittedJob, ...]
    workflow: Workflow
    ids: tuple[Mapping[str, str], ...]

    @classmethod
    def of(cls, prompt_id: str, jobs: Sequence[SubmittedJob]) -> Submission:
        """Return the submission of these jobs; the same jobs always give the same graph."""
        if len(jobs) == 1:
            workflow = jobs[0].workflow
            return cls(prompt_id, tuple(jobs), workflow, ({node_id: node_id for node_id in workflow.nodes},))
        merged = merge([job.workflow for job in jobs])
        return cls(prompt_id, tuple(jobs), merged.workflow, merged.ids)

    @classmethod
    def unknown(cls, prompt_id: str) -> Submission:
        """Return a submission of which only the id is known."""
        return cls(prompt_id, (), Workflow({}), ())

    @property
    def job_ids(self) -> tuple[str, ...]:
        """Return its jobs."""
        return tuple(job.job_id for job in self.jobs)

    @property
    def inputs(self) -> tuple[InputFile, ...]:
        """Return the files that its graph reads, each content once."""
        by_name = {file.name: file for job in self.jobs for file in job.inputs}
        if not by_name:
            return ()
        read = names_in(self.workflow.to_api(), by_name)
        return tuple(file for name, file in by_name.items() if name in read)

    @property
    def streamed(self) -> dict[str, int]:
        """Return the nodes of its graph whose pictures come over the websocket alone, and how many bytes one has at most."""
        found = {}
        for job, ids in zip(self.jobs, self.ids, strict=True):
            for role, node_id in job.workflow.outputs.items():
                if job.workflow.nodes[node_id].class_type == STREAMED:
                    size = job.sizes.get(role)
                    found[ids[node_id]] = (
                        MOST_STREAMED_BYTES if size is None else min(MOST_STREAMED_BYTES, size.pixels * 4 + _BESIDE_PIXELS)
                    )
        return found

    @property
    def about(self) -> dict[str, Any]:
        """Return what a server is to write into its pictures: of one job all, of several only which they are.

        It writes the same into all pictures of a submission; each gets its own when it is collected. Where a recipe does not want
        it in its pictures, the server is told only what it takes to know them again.
        """
        if len(self.jobs) > 1:
            return {"version": __version__, "job_ids": list(self.job_ids)}
        (job,) = self.jobs
        return job.about if COMFYUI in metadata_of(job.recipe) else without_recipe(job.about)

    def job_of(self, node_id: str) -> str:
        """Return the first job that a node of the graph belongs to; empty for none."""
        return next((job for job, ids in zip(self.job_ids, self.ids, strict=True) if node_id in ids.values()), "")

    def verdict_on(self, number: int, verdict: Verdict) -> Verdict:
        """Return what a verdict on the whole says of one job, in the node ids of its own graph.

        A job of which all files are there has succeeded, whatever became of the others. One that was cut short by the failure
        of another keeps that failure, with a node that is not its own: see `is_cut_short`.
        """
        own = {posted: node_id for node_id, posted in self.ids[number].items()}
        files = {own[node_id]: files for node_id, files in verdict.files.items() if node_id in own}
        texts = {own[node_id]: texts for node_id, texts in verdict.texts.items() if node_id in own}
        pictures = {own[node_id]: found for node_id, found in verdict.pictures.items() if node_id in own}
        verdict = replace(verdict, files=files, texts=texts, pictures=pictures)
        cached = tuple(own[node_id] for node_id in verdict.cached if node_id in own)
        failure = verdict.failure
        if len(self.jobs) > 1 and failure is not None:
            given = files.keys() | texts.keys() | pictures.keys()
            if given >= set(self.jobs[number].workflow.outputs.values()):
                return replace(verdict, outcome=Conclusion.SUCCEEDED, cached=cached, failure=None)
            failure = replace(failure, node=own.get(failure.node, ""))
        return replace(verdict, cached=cached, failure=failure)

    def is_cut_short(self, verdict: Verdict) -> bool:
        """Return whether, after `verdict_on`, a job was ended by the failure of another one."""
        return len(self.jobs) > 1 and verdict.failure is not None and not verdict.failure.node

    def to_text(self) -> str:
        """Return it for the ledger."""
        return json.dumps([job.to_json() for job in self.jobs], separators=(",", ":"), default=dict)

    @classmethod
    def from_text(cls, prompt_id: str, text: str) -> Submission:
        """Return what `to_text` gave.

        Raises:
            ValueError: It is something else; also KeyError and TypeError.
        """
        jobs = [SubmittedJob.from_json(job) for job in json.loads(text)]
        if not jobs or len({job.job_id for job in jobs}) < len(jobs):
            raise ValueError("a submission has a job, and each but once")
        return cls.of(prompt_id, jobs)
