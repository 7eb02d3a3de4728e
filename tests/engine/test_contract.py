"""What every engine keeps to: the same for a ComfyUI over HTTP, the stand-in's and a real one, and for one of this process."""

from __future__ import annotations

import pickle
import queue
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from comfy_runner import api
from comfy_runner.config import Config, ServerConfig
from comfy_runner.engine.interface import Engine, EngineOptions, JobToCollect
from comfy_runner.engine.registry import connect
from comfy_runner.engine.reports import (
    Broken,
    Cancelled,
    Collected,
    Crashed,
    EngineReport,
    Finished,
    Freed,
    NodeProgress,
    Refused,
    Submitted,
)
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Conclusion
from comfy_runner.errors import JobLost, ServerRefused, WorkflowError
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.planning.capabilities import capabilities_of
from comfy_runner.running.prepare import Preparer
from comfy_runner.store.run_folder import RunFolder
from tests.engine import memory_engine
from tests.running.support import plan_of, sidecar_in, small
from tests.standin import HELD, Cloud, StandIn, State
from tests.standin.cloud import KEY

R = TypeVar("R", bound=EngineReport)
_ENDS = (Finished, Refused, Cancelled, Broken)
_CONFIG = Config(comfy_api_key=KEY)
_clouds: set[str] = set()


def _server(url: str) -> ServerConfig:
    return ServerConfig(url=url, cloud=url in _clouds)


@pytest.fixture
def schemes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Announce the engine of this process as an installed package does."""
    info = tmp_path / "packages" / "memory_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: memory-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[comfy_runner.engines]\nmemory = {memory_engine.__name__}:connect\n")
    monkeypatch.syspath_prepend(str(info.parent))


@pytest.fixture(params=["memory", "standin", "cloud", pytest.param("real", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, schemes: None) -> Iterator[str]:  # noqa: ARG001 - a scheme is announced
    """The address of an engine of each kind."""
    if request.param == "memory":
        yield f"memory://{uuid.uuid4()}"
    elif request.param in ("standin", "cloud"):
        with StandIn(State(cloud=Cloud() if request.param == "cloud" else None)) as server:
            if request.param == "cloud":
                _clouds.add(server.url)
            yield server.url
            _clouds.discard(server.url)
    else:
        yield request.getfixturevalue("comfyui_server").url


class Session:
    """An engine that is open for a run folder, and what it reports."""

    def __init__(self, url: str, path: Path) -> None:
        self._inbox: queue.SimpleQueue[EngineReport] = queue.SimpleQueue()
        self.reports: list[EngineReport] = []
        self.is_cloud = url in _clouds
        self.engine: Engine = connect(_server(url), _CONFIG)
        self.folder = RunFolder(path)
        self.engine.open(self._inbox.put, self.folder, EngineOptions(timeouts=Timeouts(queue=0.1)))

    def submission(self, **changes: Any) -> Submission:
        """Return a small recipe as it would be submitted."""
        key = str(uuid.uuid4())
        plan = plan_of(small(seed=uuid.uuid4().int % 2**32, **changes))
        preparer = Preparer(self.folder, capabilities_of(plan.drafts, self.engine.object_info()))
        return Submission.of(key, [preparer.prepare(draft, prompt_id=key).job for draft in plan.drafts])

    def until(self, kind: type[R], key: str) -> R:
        """Return the first report of a kind about a submission, seen before or still to come."""
        for report in self._all():
            if isinstance(report, kind) and not isinstance(report, Crashed) and report.key == key:
                return report
        raise AssertionError(f"no {kind.__name__} of {key}, but {self.reports}")

    def end(self, key: str) -> EngineReport:
        """Return how a submission ended."""
        return next(report for report in self._all() if isinstance(report, _ENDS) and report.key == key)

    def finish(self, submission: Submission) -> Finished:
        self.engine.submit(submission)
        return self.until(Finished, submission.prompt_id)

    def close(self) -> None:
        self.engine.close()
        self.folder.close()

    def _all(self) -> Iterator[EngineReport]:
        yield from list(self.reports)
        deadline = time.monotonic() + HELD
        while (left := deadline - time.monotonic()) > 0:
            try:
                report = self._inbox.get(timeout=left)
            except queue.Empty:
                return
            self.reports.append(report)
            assert not isinstance(report, Crashed), report.error
            yield report


@pytest.fixture
def session(url: str, tmp_path: Path) -> Iterator[Session]:
    opened = Session(url, tmp_path / "run")
    try:
        yield opened
    finally:
        opened.close()


def _wanted(submission: Submission, error: JobLost | None = None) -> list[JobToCollect]:
    return [JobToCollect(job_id, {}, error) for job_id in submission.job_ids]


def test_it_says_what_it_is_and_has_before_it_is_opened(url: str) -> None:
    engine = connect(_server(url), _CONFIG)

    assert engine.info().url == engine.url == url
    assert engine.info().as_record()["url"] == url
    assert engine.object_info().get("KSampler") is not None
    assert engine.object_info().fingerprint == engine.object_info().fingerprint
    assert engine.object_info("KSampler").get("KSampler") == engine.object_info().get("KSampler")
    with pytest.raises(WorkflowError):
        engine.object_info("NobodyHasThis")
    assert engine.queue().running >= 0
    assert engine.wait_until_reachable()


def test_it_lists_its_models(url: str) -> None:
    engine = connect(_server(url), _CONFIG)

    assert "checkpoints" in engine.model_folders()
    assert "tiny-random-sd15.safetensors" in engine.models_in("checkpoints")
    with pytest.raises(ServerRefused):
        engine.models_in("nothing of this kind")


def test_a_submission_is_taken_run_and_collected(session: Session) -> None:
    submission = session.submission()
    finished = session.finish(submission)
    session.engine.collect(submission, finished.verdict, _wanted(submission))
    collected = session.until(Collected, submission.prompt_id)

    assert (collected.job_id, collected.error, collected.errors) == ("lake", None, ())
    assert {role: (file.width, file.height) for role, (file,) in collected.files.items()} == {
        "original": (64, 64),
        "upscaled": (128, 128),
    }
    assert all(session.folder.has(file) for files in collected.files.values() for file in files)
    said = sidecar_in(session.folder.path)
    assert (said["state"], said["server"]["url"], said["prompt_id"]) == ("done", session.engine.url, submission.prompt_id)


def test_reports_can_be_sent_to_another_process(session: Session) -> None:
    submission = session.submission()
    session.engine.collect(submission, session.finish(submission).verdict, _wanted(submission))
    session.until(Collected, submission.prompt_id)
    session.engine.attach(Submission.unknown(str(uuid.uuid4())))
    session.engine.free("lake")
    session.until(Freed, "lake")

    assert [pickle.loads(pickle.dumps(report)) for report in session.reports if isinstance(report, Collected | Finished)] == [  # noqa: S301
        report for report in session.reports if isinstance(report, Collected | Finished)
    ]
    assert pickle.loads(pickle.dumps(submission)) == submission  # noqa: S301
    lost = JobLost("is gone", where="here", hint="wait")
    assert pickle.loads(pickle.dumps(Broken("key", lost))).error.problems == lost.problems  # noqa: S301


def test_submissions_end_in_order_each_once(session: Session) -> None:
    submissions = [session.submission() for _ in range(3)]
    for submission in submissions:
        session.engine.submit(submission)
    for submission in submissions:
        session.until(Finished, submission.prompt_id)

    ends = [report.key for report in session.reports if isinstance(report, _ENDS)]
    assert ends == [submission.prompt_id for submission in submissions]


def test_what_cannot_run_is_refused_with_the_node(session: Session) -> None:
    submission = session.submission()
    api_graph = submission.workflow.to_api()
    node_id = next(node_id for node_id, node in api_graph.items() if node["class_type"] == "KSampler")
    api_graph[node_id]["class_type"] = "NobodyHasThis"
    session.engine.submit(replace(submission, workflow=parse_workflow(api_graph)))

    refused = session.until(Refused, submission.prompt_id)

    assert "NobodyHasThis" in str(refused.complaints)


def test_a_running_submission_is_cancelled_and_the_next_one_runs(session: Session) -> None:
    long, next_one = session.submission(sampler={"steps": 9000}), session.submission()
    session.engine.submit(long)
    session.engine.submit(next_one)
    session.until(Submitted if session.is_cloud else NodeProgress, long.prompt_id)  # the cloud tells no progress
    session.engine.cancel([long.prompt_id, "nobody's"])

    end = session.end(long.prompt_id)

    assert isinstance(end, Cancelled) or (isinstance(end, Finished) and end.verdict.outcome is Conclusion.INTERRUPTED)
    assert session.until(Finished, next_one.prompt_id).verdict.outcome is Conclusion.SUCCEEDED


def test_what_an_earlier_process_submitted_is_followed_to_its_end(session: Session, url: str, tmp_path: Path) -> None:
    submission = session.submission()
    session.finish(submission)
    later = Session(url, tmp_path / "later")
    try:
        later.engine.attach(submission)
        found = later.until(Submitted, submission.prompt_id).prompt_id
        assert found == submission.prompt_id or later.is_cloud  # which chooses ids itself
        finished = later.until(Finished, submission.prompt_id)
        later.engine.collect(submission, finished.verdict, _wanted(submission))
        assert later.until(Collected, submission.prompt_id).files.keys() == {"original", "upscaled"}
    finally:
        later.close()


def test_a_submission_that_it_does_not_have_is_lost(session: Session) -> None:
    submission = session.submission()
    session.engine.attach(submission)

    assert isinstance(session.until(Broken, submission.prompt_id).error, JobLost)


def test_files_of_a_forgotten_submission_are_found_by_their_names(session: Session) -> None:
    if session.is_cloud:
        pytest.skip("it finds files by their content alone")
    submission = session.submission()
    session.finish(submission)
    session.engine.forget([submission.prompt_id])
    session.engine.collect(submission, None, _wanted(submission, JobLost("is forgotten")))

    collected = session.until(Collected, submission.prompt_id)

    assert (collected.verdict, collected.error, set(collected.files)) == (None, None, {"original", "upscaled"})
    assert sidecar_in(session.folder.path)["recovered"] is True


def test_what_was_never_made_stays_lost(session: Session) -> None:
    submission, lost = session.submission(), JobLost("is forgotten")
    session.engine.collect(submission, None, _wanted(submission, lost))

    collected = session.until(Collected, submission.prompt_id)

    assert (collected.error, collected.files) == (lost, {})


def test_it_frees_its_memory(session: Session) -> None:
    session.engine.free("lake")

    assert session.until(Freed, "lake") == Freed("lake")


def test_a_closed_engine_reports_nothing_more(session: Session) -> None:
    session.finish(session.submission())
    session.engine.submit(session.submission())
    session.engine.close()
    seen = len(session.reports)

    session.engine.cancel(["anything"])

    assert len(session.reports) == seen


def test_a_recipe_is_run_from_end_to_end(url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    axes = {"upscale.denoise": [0.4, 0.6, 0.8]}

    first = api.run([small(sweep=axes)], server=_server(url), out=out, config=_CONFIG).results()
    again = api.run([small(sweep=axes)], server=_server(url), out=out, config=_CONFIG).results()

    assert [result.state for result in first] == [result.state for result in again] == ["done"] * 3
    assert all(path.is_file() for result in first for paths in result.files.values() for path in paths)
    assert {sidecar_in(out, result.job_id)["server"]["url"] for result in first} == {url}


def test_an_announced_scheme_is_known_everywhere(schemes: None) -> None:  # noqa: ARG001 - it is announced
    url = f"memory://{uuid.uuid4()}"

    (standing,) = api.servers(url, config=Config())
    assert (standing.url, standing.error, standing.checkpoints) == (url, None, ("tiny-random-sd15.safetensors",))
    (listing,) = api.models("checkpoints", server=url, config=Config())
    assert listing.names == ("tiny-random-sd15.safetensors",)
    assert api.plan([small()], server=url, config=Config()).server == url
