"""``run --shard`` and ``merge`` as people and job arrays use them."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Running, Typed, recipe_file, typed
from tests.running.support import posted_jobs
from tests.s3 import S3Server
from tests.standin import StandIn

Cli = Callable[..., Typed]

_PAGE = (Path(__file__).parents[2] / "docs/shards.md").read_text(encoding="utf-8")


def _slurm(task: int, tasks: int) -> dict[str, str]:
    """Return what Slurm sets for a task of an array that begins with 10, such as ``--array=10-17``."""
    names = {"ID": task + 9, "COUNT": tasks, "MIN": 10, "MAX": 9 + tasks, "STEP": 1}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(("tasks", "is_at_url"), [(8, False), (4, True)], ids=["folders", "s3"])
def test_tasks_of_slurm_one_of_them_killed_and_started_again_give_the_report_of_one_run(
    server: StandIn, tmp_path: Path, request: pytest.FixtureRequest, tasks: int, is_at_url: bool
) -> None:
    axes = {"seed": {"start": 1, "count": 9}, "upscale.denoise": [0.48, 0.49]}
    recipe_file(tmp_path, sweep=axes, sampler={"steps": 10})
    where = ("--server", server.url)
    assert typed("run", "lake.yaml", *where, folder=tmp_path).code == 0
    count = len(posted_jobs(server))
    shards, store = "runs/lake-shards", dict[str, str]()
    if is_at_url:
        s3: S3Server = request.getfixturevalue("s3")
        shards, store = f"s3://{s3.bucket()}/runs/lake", s3.environment
    shard = ("run", "lake.yaml", "--shard", "auto", "--out", shards, *where)
    # Whoever merges has the ledger of no shard that lies at a URL.
    desk = {**store, "COMFY_RUNNER_STATE": str(tmp_path / "desk")}

    for task in range(1, tasks + 1):
        node = {**store, **_slurm(task, tasks), "COMFY_RUNNER_STATE": str(tmp_path / f"node-{task}")}
        if task == 3:
            gate = server.state.hold("second_pass")
            killed = Running(*shard, folder=tmp_path, changes=node)
            gate.wait()
            killed.signal(signal.SIGKILL)
            assert killed.end().code == -signal.SIGKILL
            gate.open()
            early = typed("merge", shards, "--to", "runs/merged", folder=tmp_path, **desk)
            assert early.code == 5
            missing = [f"{number}/{tasks}" for number in range(4, tasks + 1)]
            assert f"shard 3/{tasks}" in early.err
            assert f"missing: {', '.join(missing)}" in early.err
        done = typed(*shard, folder=tmp_path, **node)
        assert done.code == 0, done.err

    # What the killed one had posted was taken up, not posted again.
    assert len(posted_jobs(server)) == 2 * count
    merged = typed("merge", shards, "--to", "runs/merged", folder=tmp_path, **desk)
    assert merged.code == 0, merged.err
    assert merged.out == "runs/merged\n"
    assert f"{tasks} run folders: 18 jobs copied" in merged.err
    found = {}
    for name in ("lake", "merged"):
        assert typed("report", f"runs/{name}", folder=tmp_path).code == 0
        metrics = json.loads((tmp_path / f"runs/{name}/metrics.json").read_text(encoding="utf-8"))
        assert metrics.pop("run") == name
        found[name] = json.dumps(metrics)
    assert found["lake"] == found["merged"]
    assert typed("verify", "runs/merged", folder=tmp_path).code == 0


def test_a_shard_that_is_left_over_has_nothing_to_do_and_says_so(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep={"seed": [1, 2]})
    for index in (1, 2, 3):
        done = cli("run", "lake.yaml", "--shard", f"{index}/3", "--server", server.url, "--out", "all")
        assert done.code == 0
    assert done.err.startswith("warning: --shard: shard 3/3 has nothing to do: 2 shards have all the jobs\n")
    assert len(posted_jobs(server)) == 2

    assert cli("status", "all/shard-1-of-3").out.splitlines()[:2] == [
        f"all{'/'}shard-1-of-3: 1 done, 1 pending",
        "of these, shard 1/3 has 1 done",
    ]
    assert cli("status", "all/shard-3-of-3").out.splitlines()[1] == "of these, shard 3/3 has no jobs"
    assert json.loads(cli("status", "all/shard-1-of-3", "--json").out)["shard"] == {"index": 1, "count": 3}

    merged = json.loads(cli("merge", "all", "--to", "lake", "--json").out)

    assert (merged["copied"], merged["counts"]["done"], len(merged["sources"])) == (2, 2, 3)
    for name in merged:
        assert f"`{name}`" in _PAGE


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--shard", "0/8"], "--shard: the shards are 1/8 to 8/8 (got 0/8)"),
        (["--shard", "auto"], "--shard: none of SLURM_ARRAY_TASK_ID"),
        (["--shard", "1/2", "--set", "seed=random"], "--shard: the seed of lake is random"),
        (["--shard", "1/2", "--out", "run"], "run: is a run folder"),
        (["--shard", "1/2", "--update-baseline", "b"], "--update-baseline: a baseline is made from a whole run"),
    ],
)
def test_mistakes_cost_nothing(cli: Cli, server: StandIn, tmp_path: Path, args: list[str], told: str) -> None:
    recipe_file(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/ledger.sqlite").write_bytes(b"")

    done = cli("run", "lake.yaml", "--server", server.url, *args)

    assert done.code == 2
    assert done.err.startswith(f"error: {told}")
    assert "hint: " in done.err or "0/8" in done.err
    assert not (tmp_path / "runs").exists()
    assert posted_jobs(server) == []


def test_the_plan_of_a_shard_shows_the_deal_and_what_it_costs(cli: Cli, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep={"seed": [1, 2, 3, 4], "upscale.denoise": [0.5, 0.6]})

    done = cli("plan", "lake.yaml", "--shard", "2/3")
    record = json.loads(cli("plan", "lake.yaml", "--shard", "2/3", "--json").out)

    *_, head, first, second, third, _, together = done.out.splitlines()
    assert head.split() == ["shard", "jobs", "loads", "first", "second", "work"]
    assert [row.split()[:-1] for row in (first, second, third)] == [
        ["1/3", "4", "1", "2", "4"],
        ["▸", "2/3", "2", "1", "1", "2"],
        ["3/3", "2", "1", "1", "2"],
    ]
    assert together == "all shards together: 2 model loads more than one server would need"
    assert done.out.splitlines()[1].split()[1] == "lake-d050-s2"
    assert [share["jobs"] for share in record["deal"]["shards"]] == [4, 2, 2]
    assert record["deal"]["index"] == 2
    assert record["deal"]["alone"]["loads"] == 1
    assert len(record["jobs"]) == 2
