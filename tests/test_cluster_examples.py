"""The examples for clusters: what the systems' published schemas say of them, and what their scripts do, with S3 and stand-ins.

Of KubeRay and SkyPilot no light package has the schemas; what can be held against one are the pods of KubeRay's. What users of a
cluster have to prepare is what tests give: a server at the port that the script chooses, and the variables of each task.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from comfy_runner import api
from comfy_runner.cli.main import cli
from comfy_runner.cli.run import run
from comfy_runner.config import load_config
from tests.cli.support import environment, recipe_file, typed
from tests.running.support import posted_jobs
from tests.s3 import S3Server
from tests.standin import StandIn

EXAMPLES = Path(__file__).parents[1] / "examples" / "cluster"
_SHARDS = 4


def _documents(name: str) -> dict[str, Any]:
    """Return what a YAML file says, by kind; that of SkyPilot, which has none, by an empty one."""
    found = yaml.safe_load_all((EXAMPLES / name).read_text(encoding="utf-8"))
    return {each.get("kind", ""): each for each in found}


def _refused(document: Mapping[str, Any]) -> str:
    """Return what is wrong with a document by Kubernetes' own schema; empty where nothing is."""
    try:
        kubernetes_validate.validate(dict(document), kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return ""


def _pod_templates() -> list[dict[str, Any]]:
    cluster = _documents("kuberay-rayjob.yaml")["RayJob"]["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [{"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]} for group in groups]


def test_those_of_kubernetes_are_right_by_its_schema_and_would_not_be_with_a_misspelt_word() -> None:
    documents = [*_documents("kubernetes-job.yaml").values(), _documents("kuberay-rayjob.yaml")["ConfigMap"], *_pod_templates()]

    assert [_refused(document) for document in documents] == [""] * 5
    for document, word, wrong in zip(
        documents[1:],
        ("completionMode", "metadata", "envFrom", "limits"),
        ("completionsMode", "meta", "envfrom", "limit"),
        strict=True,
    ):
        assert "Additional properties" in _refused(json.loads(json.dumps(document).replace(f'"{word}"', f'"{wrong}"')))


@pytest.mark.parametrize("name", ["kubernetes-job.yaml", "kuberay-rayjob.yaml"])
def test_their_recipes_and_settings_are_right(name: str, tmp_path: Path) -> None:
    for file, text in _documents(name)["ConfigMap"]["data"].items():
        (tmp_path / file).write_text(text, encoding="utf-8")

    assert api.validate([str(tmp_path / "lake.yaml")]) == ()
    if (settings := tmp_path / "config.yaml").exists():
        assert load_config({"COMFY_RUNNER_CONFIG": str(settings)}).ray.resources == {"GPU": 1}


def test_that_of_kuberay_types_a_command_that_there_is() -> None:
    program, command, *args = shlex.split(_documents("kuberay-rayjob.yaml")["RayJob"]["spec"]["entrypoint"])

    assert (program, command) == ("comfy-runner", "run")
    # A path of the cluster's is not here; what click would do with it is.
    context = click.Context(run, parent=click.Context(cli, **cli.context_settings))
    found, _, _ = run.make_parser(context).parse_args(args)
    assert (found["ray"], found["ray_max"]) == ("auto", "8")


# What the scripts do

_Task = Callable[[int, StandIn, str], tuple[list[str], dict[str, str]]]


def _own(server: StandIn, out: str, **variables: str) -> dict[str, str]:
    """Return what users change in the scripts: here a server that runs already."""
    port = server.url.rpartition(":")[2]
    return {"RECIPES": "lake.yaml", "OUT": out, "COMFYUI": "exec sleep 600", "PORT": port, **variables}


def _slurm_task(index: int, server: StandIn, out: str) -> tuple[list[str], dict[str, str]]:
    first, last = map(int, re.findall(r"--array=(\d+)-(\d+)", (EXAMPLES / "slurm-array.sh").read_text(encoding="utf-8"))[0])
    numbers = {"ID": first + index, "COUNT": last - first + 1, "MIN": first, "MAX": last, "STEP": 1}
    variables = {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()}
    return ["sh", str(EXAMPLES / "slurm-array.sh")], _own(server, out, SLURM_JOB_ID=str(4711 + index), **variables)


def _kubernetes_pod(index: int, server: StandIn, out: str) -> tuple[list[str], dict[str, str]]:
    job = _documents("kubernetes-job.yaml")["Job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    own = {"RECIPES": "lake.yaml", "OUT": out, "SERVER": server.url, "COMFY_RUNNER_STATE": f"state-{index}"}
    variables = {each["name"]: each["value"] for each in container["env"]} | own | {"JOB_COMPLETION_INDEX": str(index)}
    assert variables["JOB_COMPLETIONS"] == str(job["completions"])
    # As Kubernetes fills in what its commands name.
    return [re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], word) for word in container["command"]], variables


def test_that_of_skypilot_does_on_each_node_what_that_of_slurm_does_in_each_task() -> None:
    task = _documents("skypilot.yaml")[""]
    slurm = (EXAMPLES / "slurm-array.sh").read_text(encoding="utf-8")

    assert task["num_nodes"] == _SHARDS
    assert [line for line in task["run"].splitlines() if line not in slurm.splitlines()] == []
    for name, value in task["envs"].items():
        assert name == "PORT" or f': "${{{name}:={value}}}"' in slurm.replace('\\"', '"').replace("\\$", "$")


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for Linux")
@pytest.mark.parametrize("task", [_slurm_task, _kubernetes_pod])
def test_their_tasks_render_a_run_that_is_merged_and_checked(s3: S3Server, server: StandIn, tmp_path: Path, task: _Task) -> None:
    url = f"s3://{s3.bucket()}/lake-shards"
    recipe_file(tmp_path, sweep={"seed": [1, 2, 3, 4, 5]}, expect={"width": {"max": 4096}})
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for index in range(_SHARDS):
        command, variables = task(index, server, url)
        node = environment(**s3.environment, **{"COMFY_RUNNER_STATE": str(tmp_path / f"node-{index}"), "PATH": path, **variables})
        done = subprocess.run(command, cwd=tmp_path, env=node, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr

    desk = {**s3.environment, "COMFY_RUNNER_STATE": str(tmp_path / "desk")}
    merged = typed("merge", url, "--to", f"{url}-merged", folder=tmp_path, **desk)
    checked = typed("check", f"{url}-merged", "--junit", "junit.xml", folder=tmp_path, **desk)

    assert merged.code == 0, merged.err
    assert "4 run folders: 5 jobs copied" in merged.err
    assert checked.code == 0, checked.err
    assert (tmp_path / "junit.xml").read_text(encoding="utf-8").count("<testcase") == 5
    assert len(posted_jobs(server)) == 5
