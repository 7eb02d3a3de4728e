"""``comfy-runner find``: what it prints where."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.find_support import answer_from, recipe
from tests.cli.support import Typed, typed
from tests.standin import StandIn

Cli = Callable[..., Typed]

_SEVERAL = ("--over", "upscale.denoise=0.5:0.6:0.05", "--over", "upscale.method=nearest-exact,bicubic")


def _recipe_file(folder: Path) -> None:
    (folder / "lake.yaml").write_text(json.dumps(recipe()), encoding="utf-8")


def test_a_dry_run_says_what_several_fields_take_at_most(cli: Cli, tmp_path: Path) -> None:
    _recipe_file(tmp_path)

    done = cli("find", "lake.yaml", *_SEVERAL, "--dry-run")

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "upscale.denoise: 3 values from 0.5 to 0.6, upscale.method: 2 values from nearest-exact to bicubic, 6 combinations: "
        "at most 3 jobs, where the whole sweep takes 6\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["lake.yaml"]
    assert json.loads(cli("find", "lake.yaml", *_SEVERAL, "--dry-run", "--json").out)["over"] == {
        "upscale.denoise": [0.5, 0.55, 0.6],
        "upscale.method": ["nearest-exact", "bicubic"],
    }


@pytest.mark.slow
def test_the_values_of_several_fields_are_one_line_of_what_set_takes(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    answer_from(tmp_path / "variants", server)
    _recipe_file(tmp_path)

    found = cli("find", "lake.yaml", *_SEVERAL, "--server", server.url, "--no-report")

    assert found.code == 0, found.err
    sets = [part for each in shlex.split(found.out) for part in ("--set", each)]
    assert sets[0::2] == ["--set", "--set"]
    assert cli("plan", "lake.yaml", *sets, "--json").code == 0
    assert "of the 6 of the whole sweep" in found.err
    *steps, last = [
        json.loads(line) for line in cli("find", "lake.yaml", *_SEVERAL, "--server", server.url, "--json").out.splitlines()
    ]
    assert [f"{field}={value}" for field, value in last["values"].items()] == sets[1::2]
    assert [step["values"].keys() for step in steps] == [last["values"].keys()] * len(steps)


@pytest.mark.slow
def test_without_optuna_one_line_says_what_to_install(tmp_path: Path) -> None:
    _recipe_file(tmp_path)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['optuna'] = None\n", encoding="utf-8")

    done = typed("find", "lake.yaml", *_SEVERAL, "--server", "http://127.0.0.1:9", folder=tmp_path, PYTHONPATH=str(blocked))

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: a search over several fields needs optuna, which is not installed",
        "hint: pip install 'comfy-runner[find]'",
    ]
    assert not (tmp_path / "runs").exists()
