"""Whose a picture is, by what its server has written into it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner.collect.ownership import refuse_anothers
from comfy_runner.engine.submission import SubmittedJob
from comfy_runner.errors import JobLost
from tests.running.support import submitted_job


@pytest.fixture
def job() -> SubmittedJob:
    return submitted_job()


def _check(path: Path, job: SubmittedJob, **texts: Any) -> None:
    chunks = PngInfo()
    for name, value in texts.items():
        chunks.add_text(name, value if isinstance(value, str) else json.dumps(value))
    Image.new("RGB", (8, 8)).save(path, "PNG", pnginfo=chunks)
    refuse_anothers(path, job, job.workflow.outputs["upscaled"], name="out.png")


def test_what_says_that_it_is_the_jobs_own_or_says_nothing_is_taken(job: SubmittedJob, tmp_path: Path) -> None:
    path, graph = tmp_path / "a.png", job.workflow.to_api()

    _check(path, job)
    _check(path, job, prompt=graph)
    _check(path, job, prompt="no JSON", comfy_runner="[" * 100_000)
    _check(path, job, comfy_runner={"job_id": job.job_id, "content_hash": job.content_hash})
    _check(path, job, comfy_runner={"job_ids": ["other", job.job_id]})
    path.write_bytes(b"no picture")
    refuse_anothers(path, job, job.workflow.outputs["upscaled"], name="out.png")


def test_the_picture_of_another_job_is_refused_with_both_names(job: SubmittedJob, tmp_path: Path) -> None:
    with pytest.raises(JobLost, match=r"out\.png is the picture of other, not of lake"):
        _check(tmp_path / "a.png", job, comfy_runner={"job_id": "other", "content_hash": "0" * 64})
    with pytest.raises(JobLost, match=r"of lake as it was before, not of lake"):
        _check(tmp_path / "a.png", job, comfy_runner={"job_id": job.job_id, "content_hash": "0" * 64})


def test_a_picture_of_another_graph_is_refused(job: SubmittedJob, tmp_path: Path) -> None:
    graph = copy.deepcopy(job.workflow.to_api())
    (sampler, *_) = (node for node in graph.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["seed"] += 1

    with pytest.raises(JobLost, match="by a different graph from that of lake"):
        _check(tmp_path / "a.png", job, prompt=graph)
    with pytest.raises(JobLost, match="by a different graph"):
        _check(tmp_path / "a.png", job, prompt={})
