"""The sidecar: one JSON file per job, which contains everything needed to repeat the job and shows that it is done.

It never contains credentials, headers or the server's command line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from comfy_runner.errors import RunFolderError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.input_files import InputFile
from comfy_runner.recipe.job import Job
from comfy_runner.recipe.names import slug
from comfy_runner.shipped import shipped
from comfy_runner.store.interface import Artifact, is_key

FORMAT = 2
"""Of the sidecar and of ``run.json``. Version 1 had no sweeps, retries and shared pictures."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a damaged JSON file may raise."""

_LISTS = ("cached_nodes", "notes", "attempts", "posted_with", "inputs")
HASH = re.compile("[0-9a-f]{64}")
"""A content hash."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One collected file.

    Attributes:
        path: The key in the store: a path relative to the run folder, with ``/``.
        sha256: The SHA-256 of the bytes, hex.
        size_bytes: The length in bytes.
        width: The width in pixels; None if the file is not a picture.
        height: The height in pixels; None if the file is not a picture.
        server_name: ``subfolder/filename`` on the server; empty if it is not a file there.
        problem: Why the output has to be rendered again; empty if the file is valid.
        frames: How many pictures an animation has; 1 for all other files.
    """

    path: str
    sha256: str
    size_bytes: int
    width: int | None
    height: int | None
    server_name: str
    problem: str = ""
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is recorded about a job that has at least one file.

    Attributes:
        job_id: The id of the job.
        content_hash: The hash of everything that determines the job's pictures.
        state: ``done``, or ``partial`` if files are missing or not valid.
        reason: Why the job is partial.
        files: The files by output role; a role can have several.
        recipe: A complete recipe that makes this job again.
        workflow: The graph in API format, as it was posted.
        template: The name and SHA-256 of the template file.
        server: The URL and versions of the server.
        prompt_id: The id of the submission on that server.
        cached_nodes: The ids of the nodes whose results came from the server's cache.
        seconds: How long the server worked on the job; None if it does not report that.
        finished: When the job was collected, ISO 8601 with offset.
        comfy_runner: The version of comfy_runner that wrote the sidecar.
        notes: What the program adjusted or warned of.
        assignments: The values of the swept fields.
        attempts: The failed attempts before, and what was changed after each.
        posted_with: The ids of the other jobs in the same graph.
        shares: The id of the job from which the pictures were taken, because both give the same ones; empty if they are the job's
            own.
        recipe_name: The name of the recipe in the ledger; a job of a sweep has its own name.
        recovered: Whether the server had forgotten the prompt, so that the pictures were found by their names.
        inputs: The files that the job read: parameter, path, name in the graph, SHA-256, size.
        filled_from: The original fields from which the recipe's prompts were filled in: prompts, ``vars``, ``alternatives``; empty
            if the prompts contained nothing to fill in.
    """

    job_id: str
    content_hash: str
    state: str
    reason: str
    files: Mapping[str, tuple[FileRecord, ...]]
    recipe: Mapping[str, Any]
    workflow: Mapping[str, Any]
    template: Mapping[str, str]
    server: Mapping[str, str]
    prompt_id: str
    cached_nodes: tuple[str, ...]
    seconds: float | None
    finished: str
    comfy_runner: str
    notes: tuple[str, ...] = ()
    assignments: Mapping[str, Any] = field(default_factory=dict)
    attempts: tuple[Mapping[str, Any], ...] = ()
    posted_with: tuple[str, ...] = ()
    shares: str = ""
    recovered: bool = False
    recipe_name: str = ""
    inputs: tuple[Mapping[str, Any], ...] = ()
    filled_from: Mapping[str, Any] = field(default_factory=dict)

    def expected(self, workflow: Workflow) -> list[str]:
        """Return the output roles that have files or are still to be rendered: all, except silent ones of a job that is done.

        Args:
            workflow: The job's graph.
        """
        nodes = ((role, workflow.nodes[node_id]) for role, node_id in workflow.outputs.items())
        is_done = self.state == "done"
        return [
            role for role, node in nodes if not (is_done and (node.is_silent or (node.may_be_silent and role not in self.files)))
        ]

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        values = {"format": FORMAT, **{name: getattr(self, name) for name in _FIELDS}}
        with contextlib.suppress(PydanticSerializationError):
            return to_json(values, indent=2, inf_nan_mode="constants") + b"\n"
        # A server may say anything, such as half an emoji; as a backslash escape it is JSON again.
        text = json.dumps(values, default=asdict, ensure_ascii=False, indent=2) + "\n"
        return text.encode("utf-8", "backslashreplace")


_FIELDS = tuple(each.name for each in fields(Sidecar))


def parse_sidecar(content: bytes, *, where: str | Artifact) -> Sidecar:
    """Return the sidecar that a file contains.

    Args:
        content: The content of the file.
        where: The name of the file in messages.

    Raises:
        RunFolderError: The file is damaged, or was written by a newer version.
    """
    try:
        data = json.loads(content)
        refuse_newer(data.pop("format"), where)
        files = {role: tuple(FileRecord(**record) for record in records) for role, records in data.pop("files").items()}
        if not all(records and all(is_key(record.path) for record in records) for records in files.values()):
            raise ValueError("a role has no file, or a path leads out of the run folder")
        if not HASH.fullmatch(data["content_hash"]):
            raise ValueError("not a hash, which is to name a folder")
        data |= {name: tuple(data.get(name, ())) for name in _LISTS}
        return Sidecar(files=files, **data)
    except UNREADABLE as error:
        hint = "move it away to have the job rendered again; its pictures stay"
        raise RunFolderError("is damaged", where=str(where), hint=hint) from error


def refuse_newer(number: int, where: str | Artifact) -> None:
    """Refuse a file whose format is newer than this version of comfy_runner.

    Raises:
        RunFolderError: The format is newer.
    """
    if number > FORMAT:
        raise RunFolderError(f"was written by a newer comfy_runner (format {number})", where=str(where), hint="upgrade it")


_UNREPEATED = {"extends", "sweep", "retry", "models", "vars", "alternatives", "wildcards"}  # its prompts are filled in


def repeatable(job: Job, template: Path, inputs: Iterable[InputFile] = ()) -> dict[str, Any]:
    """Return a complete recipe that makes exactly this job again, with its random seed and all defaults written out.

    Args:
        job: The job.
        template: The template's file; it is found again by its path, unless it is a shipped template.
        inputs: The files that the job reads; they are found again by their paths.
    """
    recipe = job.recipe.recipe.model_dump(mode="json", exclude_none=True, exclude=_UNREPEATED)
    path = recipe["template"] if template.parent == shipped("templates") else str(template.absolute())
    # A job of a sweep keeps its id when it is repeated alone.
    name = recipe["name"] if slug(recipe["name"]) == job.job_id else job.job_id
    params = {**recipe.get("params", {}), **{file.param: file.path for file in inputs}}
    if models := job.recipe.recipe.models:
        given = {name: source.model_dump(mode="json", exclude_none=True) for name, source in models.items()}
        paths = {name: {"path": job.recipe.model_source(name)} for name, source in models.items() if source.path is not None}
        recipe["models"] = {name: {**source, **paths.get(name, {})} for name, source in given.items()}
    return {**recipe, "params": params, "name": name, "seed": job.seed, "template": path}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
