"""Whose a picture is, told from what its server has written into it: for files whose names do not say it.

ComfyUI gives its savers the graph and what we have posted beside it; most write both into a PNG file, as ``prompt`` and
``comfy_runner``. A file without them tells nothing, and is taken for what its server says that it is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.errors import JobLost
from comfy_runner.picture_files import BROKEN, opened

_HINT = "something else saves under the same name there: give the node a filename_prefix, or have SaveImage save the same picture"


def refuse_anothers(path: Path, job: SubmittedJob, node_id: str, *, name: str) -> None:
    """Refuse a picture that says of itself that it is another job's.

    Args:
        path: The picture.
        job: Whose it is to be.
        node_id: The node of the job that has saved it.
        name: What the server calls it.

    Raises:
        JobLost: It is another's, which is named if it is one of ours.
    """
    told = _texts(path)
    about, graph = told.get("comfy_runner"), told.get("prompt")
    if isinstance(about, dict) and ("job_id" in about or "job_ids" in about):
        several = about.get("job_ids")
        owners = several if isinstance(several, list) else [about.get("job_id")]
        if job.job_id not in owners or about.get("content_hash", job.content_hash) != job.content_hash:
            other = ", ".join(map(str, owners)) if job.job_id not in owners else f"{job.job_id} as it was before"
            raise JobLost(f"{name} is the picture of {other}, not of {job.job_id}", where=job.job_id, hint=_HINT)
    elif isinstance(graph, dict) and not _is_of(graph, job, node_id):
        raise JobLost(f"{name} was made by a different graph from that of {job.job_id}", where=job.job_id, hint=_HINT)


def _is_of(graph: Mapping[str, Any], job: SubmittedJob, node_id: str) -> bool:
    """Return whether a graph has what a job's node depends on, but for the names that input files have on the server."""
    names = {file.name for file in job.inputs}
    for number in job.workflow.ancestors([node_id]):
        node, found = job.workflow.nodes[number], graph.get(number)
        inputs = found.get("inputs") if isinstance(found, dict) and found.get("class_type") == node.class_type else None
        if not isinstance(inputs, dict):
            return False
        if any(inputs.get(name) != value for name, value in node.inputs.items() if not (isinstance(value, str) and value in names)):
            return False
    return True


def _texts(path: Path) -> dict[str, Any]:
    """Return the JSON values that a picture has beside its pixels; none where it cannot be read."""
    found: dict[str, Any] = {}
    with path.open("rb") as file, contextlib.suppress(*BROKEN):
        image = opened(file)
        for key in ("prompt", "comfy_runner"):
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                found[key] = json.loads(image.info.get(key) or "null")
    return found
