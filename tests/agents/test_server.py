"""The tools for agents, used by the official SDK's client, over stdio and HTTP."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from mcp.client.client import Client
from mcp.types import ImageContent
from PIL import Image
from skimage import data

from comfy_runner import suggest
from comfy_runner.agents.results import job_results, suggestion
from comfy_runner.cli.main import main
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.recipe.load import load
from comfy_runner.store.run_folder import RunFolder
from tests.agents.client import call, connected, ended, refusal, said
from tests.cli.support import COMMAND, Running, recipe_file
from tests.report.support import make_run
from tests.standin import HELD, NodeFault, StandIn

pytestmark = pytest.mark.slow


def _photographs(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
    """Return a small photograph, and for a rising denoise: the same enlarged, the same with all its detail, and another one."""
    large = Image.fromarray(data.astronaut()).resize((256, 256), Image.Resampling.LANCZOS)
    small = large.resize((128, 128), Image.Resampling.LANCZOS)
    other = Image.fromarray(data.rocket()).resize((256, 256))
    by_denoise = {0.3: small.resize(large.size, Image.Resampling.BICUBIC), 0.5: large, 0.7: other}
    return {"original": small, "upscaled": by_denoise[values["upscale.denoise"]]}


def test_an_agent_renders_a_sweep_looks_at_it_and_names_the_best_value(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    make_run(tmp_path / "runs" / "painted", {"upscale.denoise": [0.3, 0.5, 0.7]}, _photographs)
    axis = ["upscale.denoise=0.4,0.6"]

    async def work() -> None:
        async with connected(tmp_path, "--server", server.url) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            found = await call(client, "recipes")
            about = await call(client, "describe", recipe="lake.yaml")
            valid = await call(client, "validate", recipe="lake.yaml", sweeps=axis)
            planned = await call(client, "plan", recipe="lake.yaml", sweeps=axis)
            begun = await call(client, "run", recipe="lake.yaml", sweeps=axis)
            status, totals = await ended(client, begun["folder"])
            chosen = {"folder": "runs/lake", "jobs": [planned["jobs"][0]["job"]], "thumbnails": 1}
            results = await client.call_tool("results", chosen)
            suggested = await call(client, "suggest", folder="runs/painted")
            cancelled = await call(client, "cancel", folder="runs/lake")
            page = await client.read_resource("comfy-runner://docs/sweeps")
            job = json.loads(said(results))["jobs"][0]
            sidecar = await client.read_resource(f"comfy-runner://sidecar/runs%2Flake/{job['job']}")

        assert len(tools) == 9
        assert (found["files"], found["runs"]) == (["lake.yaml"], ["runs/painted"])
        assert about["fields"]["sampler.steps"] == {"type": "integer", "default": 30, "min": 1, "max": 10000} | {
            "value": load(tmp_path / "lake.yaml").recipe.sampler.steps,
            "about": about["fields"]["sampler.steps"]["about"],
        }
        assert valid["valid"]
        assert [row["values"] for row in planned["jobs"]] == [{"upscale.denoise": 0.4}, {"upscale.denoise": 0.6}]
        assert begun == {"folder": "runs/lake", "jobs": 2}
        assert (status["is_live"], status["counts"], status["problems"]) == (False, {"done": 2}, {})
        assert set(totals) <= {2}
        assert job["values"] == {"upscale.denoise": 0.4}
        assert "drift" in job["metrics"]
        assert all((tmp_path / path).is_file() for paths in job["files"].values() for path in paths)
        assert [part.mime_type for part in results.content if isinstance(part, ImageContent)] == ["image/webp"]
        assert suggested["limits"]["drift"] == 0.3
        assert (suggested["best"], [value["passes"] for value in suggested["values"]]) == (0.5, [True, True, False]), suggested
        assert cancelled == {"ended": False, "taken_back": {}, "problems": []}
        assert "# Sweeps" in str(page)
        assert job["job"] in str(sidecar)

    asyncio.run(work())


def test_nothing_outside_the_folder_is_used_and_errors_say_what_is_wrong(server: StandIn, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    folder.mkdir()
    secret = outside / "secret.yaml"
    secret.write_text("hunter2: [\n", encoding="utf-8")
    (folder / "link.yaml").symlink_to(secret)
    (folder / "elsewhere").symlink_to(outside)
    recipe_file(folder)
    (folder / "child.yaml").write_text(f"extends: {secret}\n", encoding="utf-8")
    sums = {"path": str(secret), "sha256": "0" * 64}
    (folder / "model.yaml").write_text(f"extends: lake.yaml\nmodels:\n  x.safetensors: {json.dumps(sums)}\n", encoding="utf-8")
    (folder / "words.yaml").write_text(f"extends: lake.yaml\nsweep:\n  prompt:\n    file: {secret}\n", encoding="utf-8")

    async def work() -> None:
        async with connected(folder, "--server", server.url) as client:
            for recipe in ("../outside/secret.yaml", str(secret), "link.yaml", "child.yaml", "words.yaml", "model.yaml"):
                told = await refusal(client, "plan", recipe=recipe)
                assert "is outside the folder" in told
                assert "hunter2" not in told
            for out in ("../outside/run", "elsewhere/run", "/tmp/run", "s3://bucket/run"):  # noqa: S108 - nothing is written there
                told = await refusal(client, "run", recipe="lake.yaml", out=out)
                assert "is outside" in told or "must be a path below" in told
            assert "is outside" in await refusal(client, "status", folder="..")
            picture = await refusal(client, "run", recipe="img2img-upscale", sets=[f"params.image={secret}"])
            assert "hunter2" not in picture
            assert "upscale.denoise" in await refusal(client, "plan", recipe="lake.yaml", sets=["upscale.denoise=7"])
            assert "hint: " in await refusal(client, "status", folder="runs/lake")
            assert "option" not in await refusal(client, "run", recipe="--help")

    asyncio.run(work())
    assert sorted(path.name for path in outside.iterdir()) == ["secret.yaml"]
    assert server.state.requests("POST", "/prompt") == []


def test_a_run_goes_on_when_its_client_dies(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    gate = server.state.hold("second_pass")
    command = [sys.executable, "-m", "tests.agents.client", str(tmp_path), server.url, "lake.yaml"]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert client.stdout is not None
    begun = client.stdout.readline()
    gate.wait()

    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    following = Running("attach", "runs/lake", folder=tmp_path)
    gate.open()

    assert begun == "begun\n"
    assert following.end().code == 0


def test_failures_are_told_and_http_needs_the_whole_address(server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    options = ("--folder", str(tmp_path), "--server", server.url, "--http", "0")
    serving = Running("mcp", *options, folder=tmp_path)
    serving.wait_for("/mcp\n")
    url = next(line for line in serving.said.splitlines() if line.startswith("mcp: ")).removeprefix("mcp: ")

    async def work() -> None:
        async with Client(url) as client:
            status, _ = await ended(client, (await call(client, "run", recipe="lake.yaml"))["folder"])
        assert status["counts"] == {"partial": 1}
        assert "lake" in status["problems"]
        guessed = requests.post(url.replace(url.split("/")[3], "guess"), json={}, timeout=30)
        elsewhere = requests.post(url, json={}, headers={"Host": "example.org"}, timeout=30)
        assert (guessed.status_code, elsewhere.status_code) == (404, 421)

    try:
        asyncio.run(work())
    finally:
        serving.signal(signal.SIGTERM)
        serving.end()


def test_it_ends_at_once_when_it_is_told_to(tmp_path: Path) -> None:
    command = [*COMMAND, "mcp", "--folder", str(tmp_path)]
    serving = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert serving.stdin is not None
    assert serving.stdout is not None
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    serving.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode() + b"\n")
    serving.stdin.flush()
    answer = json.loads(serving.stdout.readline())

    serving.terminate()

    assert serving.wait(HELD) == -signal.SIGTERM
    assert answer["result"]["serverInfo"]["name"] == "comfy-runner"
    assert serving.communicate() == (b"", b"")


def test_of_a_large_run_that_goes_on_a_part_is_shown_and_told(tmp_path: Path) -> None:
    path = make_run(tmp_path / "lake", {"upscale.denoise": [step / 100 for step in range(1, 61)]}, lambda _: {})
    with closing(RunFolder(path)):
        found = suggestion(path, suggest(path))
    results, _ = job_results(path, [], 0)
    some, _ = job_results(path, ["*-d006"], 0)

    assert found["notes"][0].startswith("the run goes on: ")
    assert (results["job_count"], len(results["jobs"]), some["job_count"]) == (60, 50, 1)
    assert "the first 50 of 60 jobs" in results["notes"][-1]


def test_paid_nodes_are_those_that_the_server_marks_or_that_come_from_the_partners() -> None:
    node: dict[str, Any] = {"input": {}, "output": []}
    info = ObjectInfo(
        {"A": {**node, "api_node": True}, "B": {**node, "python_module": "comfy_api_nodes.nodes_x"}, "C": node}, source="x"
    )

    assert info.paid({"A", "B", "C", "D"}) == ["A", "B"]


def test_what_is_missing_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit) as caught:
        main(["mcp", "--folder", str(tmp_path)])

    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("hint: pip install 'comfy-runner[mcp]'\n")
