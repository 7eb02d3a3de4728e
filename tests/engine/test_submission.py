"""What is posted at once, and what of it goes into the ledger and comes out again."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner._version import __version__
from comfy_runner.engine.submission import Attempt, Submission, SubmittedJob
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.graph.sizes import Size
from tests.running.support import plan_of, planned, submitted_job, sweep

_TEXT = st.text(max_size=20)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_ATTEMPTS = st.builds(
    Attempt, st.sampled_from(["server_lost", "out_of_memory"]), _TEXT, st.booleans(), st.sampled_from(["", "tiled"])
)
_PATHS = st.from_regex(r"[a-z0-9]{1,5}(/[a-z0-9]{1,5})?\.png", fullmatch=True)
_JOBS = [draft.planned() for draft in plan_of(sweep({"upscale.denoise": [0.4, 0.6, 0.9]})).drafts]
_JOBS_OF_ANY_KIND = st.builds(
    SubmittedJob,
    job_id=st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True),
    content_hash=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    outputs=st.fixed_dictionaries({"original": _PATHS, "upscaled": _PATHS}, optional={"mask": _PATHS}),
    sizes=st.dictionaries(_TEXT, st.builds(Size, st.integers(1, 16384), st.integers(1, 16384)), max_size=3),
    workflow=st.sampled_from([job.workflow for job in _JOBS]),
    recipe=st.dictionaries(_TEXT, _VALUES, max_size=3),
    template=st.dictionaries(_TEXT, _TEXT, max_size=2),
    assignments=st.dictionaries(_TEXT, _VALUES, max_size=2),
    notes=st.lists(_TEXT, max_size=2).map(tuple),
    attempts=st.lists(_ATTEMPTS, max_size=2).map(tuple),
)


@pytest.mark.slow
@given(jobs=st.lists(_JOBS_OF_ANY_KIND, min_size=1, max_size=4, unique_by=lambda job: job.job_id))
def test_a_submission_comes_out_of_the_ledger_as_it_went_in(jobs: list[SubmittedJob]) -> None:
    submission = Submission.of("key", jobs)

    assert Submission.from_text("key", submission.to_text()) == submission


@given(cut=st.integers(0, 3000), junk=_TEXT)
def test_a_torn_submission_is_an_error_of_the_known_kinds(cut: int, junk: str) -> None:
    text = Submission.of("key", [submitted_job()]).to_text()
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, ComfyRunnerError):
        Submission.from_text("key", text[: cut % len(text)] + junk)


@given(value=_VALUES)
def test_a_submission_of_any_other_json_is_an_error_of_the_known_kinds(value: Any) -> None:
    for text in (json.dumps(value), json.dumps([value]), json.dumps([{"job_id": value}])):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, ComfyRunnerError):
            Submission.from_text("key", text)


def test_an_empty_submission_is_an_error_of_the_known_kinds() -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, ComfyRunnerError)):
        Submission.from_text("key", "[]")


def test_a_submission_of_one_job_is_its_graph() -> None:
    submission = Submission.of("key", [submitted_job()])

    assert submission.workflow == planned().workflow
    assert submission.about == submission.jobs[0].about
    assert (submission.about["job_id"], submission.about["content_hash"]) == ("lake", planned().content_hash)


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {"original": "../stolen.png", "upscaled": "x.png"}},
        {"outputs": {"original": "/stolen.png", "upscaled": "x.png"}},
        {"outputs": {"original": "a/./b.png", "upscaled": "x.png"}},
        {"outputs": {"upscaled": "x.png"}},
        {"job_id": "../stolen"},
        {"job_id": ".. "},
        {"content_hash": "../stolen"},
    ],
)
def test_a_submission_that_leads_out_of_the_run_folder_or_nowhere_is_not_taken(changes: Mapping[str, Any]) -> None:
    (made,) = json.loads(Submission.of("key", [submitted_job()]).to_text())

    with pytest.raises((ValueError, sqlite3.DatabaseError)):
        Submission.from_text("key", json.dumps([{**made, **changes}]))


def test_a_submission_with_a_job_twice_is_not_taken() -> None:
    (made,) = json.loads(Submission.of("key", [submitted_job()]).to_text())

    with pytest.raises(ValueError, match="but once"):
        Submission.from_text("key", json.dumps([made, made]))


def _three() -> Submission:
    return Submission.of("key", [submitted_job(job) for job in _JOBS])


def test_jobs_of_a_submission_share_what_they_have_in_common_and_know_their_own_nodes() -> None:
    submission = _three()

    assert submission.about == {"version": __version__, "job_ids": ["lake-d040", "lake-d060", "lake-d090"]}
    assert len({ids["first_pass"] for ids in submission.ids}) == 1
    assert len({ids["second_pass"] for ids in submission.ids}) == 3
    for ids, job in zip(submission.ids, _JOBS, strict=True):
        assert ids.keys() == job.workflow.nodes.keys()
        assert set(ids.values()) <= submission.workflow.nodes.keys()


def test_a_verdict_on_the_whole_says_to_each_job_what_is_its_own() -> None:
    submission = _three()
    nodes = [ids["second_pass"] for ids in submission.ids]
    saves = {node_id: (ServerFile(f"{node_id}.png", "", "output"),) for node_id in nodes}
    verdict = Verdict(Conclusion.SUCCEEDED, saves, (submission.ids[0]["first_pass"], nodes[1]), None, None)

    told = [submission.verdict_on(number, verdict) for number in range(3)]

    assert [one.files["second_pass"][0].filename for one in told] == [f"{node_id}.png" for node_id in nodes]
    assert [one.cached for one in told] == [("first_pass",), ("first_pass", "second_pass"), ("first_pass",)]


def test_a_node_is_told_of_as_the_first_job_that_has_it() -> None:
    submission = _three()

    assert submission.job_of(submission.ids[2]["first_pass"]) == "lake-d040"
    assert submission.job_of(submission.ids[2]["second_pass"]) == "lake-d090"
    assert submission.job_of("nobody's") == ""
