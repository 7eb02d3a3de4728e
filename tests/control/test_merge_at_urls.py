"""Shards that lie below one URL: rendered at the same time, and made one run by a machine that has the ledger of none of them."""

from __future__ import annotations

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.control.merge import merge
from comfy_runner.control.verify_run import verify
from comfy_runner.errors import RunFolderError, UsageError
from comfy_runner.store.local import write_spool
from comfy_runner.store.plan_record import KEY, read_plan
from comfy_runner.store.registry import local_part, open_store
from comfy_runner.store.status import status
from tests.running.support import begin, posted, rendered, states, sweep
from tests.standin import NodeFault, StandIn

# At 10 steps, two of the denoise values give the same pixels.
_RECIPE: dict[str, Any] = sweep({"seed": [1, 2], "upscale.denoise": [0.49, 0.5]}, sampler={"steps": 10})
_SMALL: dict[str, Any] = sweep({"seed": [1, 2]})


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _on_machine("here", tmp_path, monkeypatch)


def _on_machine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / name))


@pytest.fixture
def url() -> str:
    """Where the shards lie."""
    return f"memory://{uuid.uuid4()}/runs/lake"


def _jobs(folder: Path | str) -> list[Any]:
    """Return what the ledger says of jobs, but for times and prompts, and where their files are."""
    return [
        (
            job.row.job_id,
            job.row.position,
            job.row.state,
            job.row.shares,
            job.row.assignments,
            [(row.role, row.path) for row in job.files],
        )
        for job in status(folder).jobs
    ]


def test_shards_of_several_machines_are_one_run_for_a_machine_that_knows_none_of_them(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(server, tmp_path / "alone", _RECIPE)
    for index in (1, 2, 3):
        _on_machine(f"node-{index}", tmp_path, monkeypatch)
        rendered(server, url, _RECIPE, shard=f"{index}/3")
    _on_machine("desk", tmp_path, monkeypatch)

    found = merge([url], tmp_path / "merged")

    assert (found.copied, found.counts["done"], found.lacking) == (4, 4, ())
    assert [path.name for path in map(Path, map(str, found.sources))] == [
        local_part(f"{url}/shard-{n}-of-3").name for n in (1, 2, 3)
    ]
    assert _jobs(tmp_path / "merged") == _jobs(tmp_path / "alone")
    assert verify(tmp_path / "merged").discrepancies == ()
    assert merge([f"{url}/shard-2-of-3", url], tmp_path / "merged").copied == 0
    # And to another URL.
    to = f"{url.rpartition('/')[0]}/merged"
    assert merge([url], to).copied == 4
    assert _jobs(to) == _jobs(tmp_path / "alone")
    _on_machine("laptop", tmp_path, monkeypatch)
    assert _jobs(to) == _jobs(tmp_path / "alone")
    count = len(posted(server))
    assert set(states(rendered(server, to, _RECIPE)).values()) == {"done"}
    assert len(posted(server)) == count


def test_shards_write_below_one_url_at_the_same_time_and_a_live_one_is_told(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = server.state.hold("second_pass")
    with begin(server, url, _SMALL, shard="1/2") as first:
        _on_machine("there", tmp_path, monkeypatch)
        with begin(server, url, _SMALL, shard="2/2") as second:
            gate.wait()
            found = status(f"{url}/shard-1-of-2")
            assert (found.holder is not None, str(found.shard)) == (True, "1/2")
            with pytest.raises(
                RunFolderError, match=r"shard 2/2 \(memory://.*1 job has not ended, of 1: .*; it is running now"
            ) as caught:
                merge([url], tmp_path / "merged")
            assert len(caught.value.problems) == 2
            gate.open()
            assert {result.state for result in second.results() if result.job_id == "lake-s2"} == {"done"}
        assert {result.state for result in first.results() if result.job_id == "lake-s1"} == {"done"}

    assert merge([url], tmp_path / "merged").copied == 2


def test_why_a_job_failed_is_known_on_another_machine_too(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR
    for index in (1, 2):
        rendered(server, url, _SMALL, shard=f"{index}/2")
    errors = [job.row.error for index in (1, 2) for job in status(f"{url}/shard-{index}-of-2", states=["failed"]).jobs]
    _on_machine("there", tmp_path, monkeypatch)

    found = merge([url], tmp_path / "merged")

    assert (found.counts["failed"], found.copied, found.lacking) == (2, 2, ())
    assert [job.row.error for job in status(tmp_path / "merged").jobs] == errors
    assert all(errors)
    assert [job.outcome for job in api.check_run(tmp_path / "merged").jobs] == ["error", "error"]
    # What is done later takes the place of that.
    server.state.node_faults.clear()
    rendered(server, url, _SMALL, shard="2/2")
    _on_machine("here", tmp_path, monkeypatch)
    assert merge([url], tmp_path / "merged").counts["done"] == 1


def test_a_shard_that_another_machine_goes_on_with_renders_what_is_missing_alone(
    server: StandIn, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    rendered(server, url, _SMALL, shard="1/1")
    server.state.node_faults.clear()
    rendered(server, url, _SMALL, shard="1/1", only=["*-s1"])
    count = len(posted(server))
    _on_machine("there", tmp_path, monkeypatch)

    assert status(f"{url}/shard-1-of-1").counts["done"] == 1
    results = rendered(server, url, _SMALL, shard="1/1")

    assert [(result.job_id, result.was_done) for result in results] == [("lake-s1", True), ("lake-s2", False)]
    assert len(posted(server)) == count + 1


def test_a_missing_shard_is_told_by_where_the_others_lie(server: StandIn, url: str, tmp_path: Path) -> None:
    rendered(server, url, _SMALL, shard="2/2")

    with pytest.raises(RunFolderError) as caught:
        merge([url], tmp_path / "merged")

    assert (caught.value.problems[0].where, caught.value.problems[0].what) == (url, "1 shard is missing: 1/2")
    assert merge([url], tmp_path / "merged", partial=True).copied == 1


def test_what_cannot_hold_shards_or_be_merged_is_refused(server: StandIn, url: str, tmp_path: Path) -> None:
    rendered(server, f"{url}/one", _SMALL)
    with pytest.raises(UsageError, match="is a run folder, which cannot hold those of shards"):
        rendered(server, f"{url}/one", _SMALL, shard="1/2")
    rendered(server, url, _SMALL, shard="1/1")
    for target in (url, f"{url}/shard-1-of-1", f"{url}/one/in"):
        with pytest.raises(UsageError, match=r"which is to be merged|folders to be merged"):
            merge([url], target)
    with pytest.raises(RunFolderError, match="no such run folder"):
        merge([f"{url}/nowhere"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


# What is recorded of a plan


def _spoiled(content: bytes) -> bytes:
    return content[:-9]


def _repacked(**changes: Any) -> Any:
    def change(content: bytes) -> bytes:
        return gzip.compress(json.dumps({**json.loads(gzip.decompress(content)), **changes}).encode())

    return change


_JOB: list[Any] = ["lake-s1", "lake", "0" * 64, "", {}, None]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_spoiled, "is damaged"),
        (lambda _content: b"no gzip", "is damaged"),
        (lambda _content: gzip.compress(b"[" * 100_000), "is damaged"),
        (_repacked(jobs=[_JOB, _JOB]), "is damaged"),
        (_repacked(jobs=[["../lake", *_JOB[1:]]]), "is damaged"),
        (_repacked(jobs=[[*_JOB[:2], "../..", *_JOB[3:]]]), "is damaged"),
        (_repacked(jobs=[[*_JOB[:5], ["done", "", None, None]]]), "is damaged"),
        (_repacked(format=2), r"was written by a newer comfy_runner \(format 2\)"),
    ],
)
def test_a_record_that_makes_no_sense_is_told_and_what_is_rendered_counts_all_the_same(
    rendered_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, told: str
) -> None:
    store = open_store(rendered_url)
    with store.open(KEY) as file:
        content = file.read()
    plan = read_plan(store)
    assert plan is not None
    assert [row.job_id for row in plan.rows] == ["lake-s1", "lake-s2"]
    store.put([write_spool(store, KEY, [spoil(content)])])
    _on_machine(f"there-{uuid.uuid4()}", tmp_path, monkeypatch)

    try:
        with pytest.raises(RunFolderError, match=told):
            read_plan(store)
        assert status(rendered_url).counts["done"] == 2
        with pytest.raises(RunFolderError, match="does not record the jobs of its plan"):
            merge([rendered_url], tmp_path / "merged")
    finally:
        store.put([write_spool(store, KEY, [content])])


@pytest.fixture(scope="module")
def rendered_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a run of two jobs, which stays as it is."""
    url = f"memory://{uuid.uuid4()}/runs/lake"
    with StandIn() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMFY_RUNNER_STATE", str(tmp_path_factory.mktemp("state")))
        rendered(server, url, _SMALL)
    return url
