"""``run --ray``: what is refused before anything is done."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, Typed, environment, recipe_file, typed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ray-actors", "2"), "error: --ray-actors: has no effect without --ray"),
        (("--ray", "the moon"), "error: --ray: not a Ray address (got the moon)"),
        (("--ray-resources", "GPU", "--ray"), "error: --ray-resources: not JSON (got GPU)"),
        (("--ray-min", "3", "--ray-max", "2", "--ray"), "error: --ray: max must be at least min, 3 (got 2)"),
        (("--ray-actors", "3", "--ray-max", "2", "--ray"), "error: --ray-actors: cannot be used with --ray-min and --ray-max"),
    ],
)
def test_what_does_not_go_is_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)

    done = typed("run", str(recipe), "--out", "out", *options, folder=tmp_path)

    assert (done.code, done.err.splitlines()[0]) == (2, message)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path)
    (tmp_path / "without").mkdir()
    # As where it is not installed: Python finds nothing of this name.
    (tmp_path / "without" / "sitecustomize.py").write_text("import sys; sys.modules['ray'] = None\n")
    variables = environment(PYTHONPATH=str(tmp_path / "without"))

    done = subprocess.run([*COMMAND, "run", str(recipe), "--ray"], cwd=tmp_path, env=variables, capture_output=True, check=False)
    told = Typed(done.returncode, done.stdout.decode(), done.stderr.decode())

    assert told.code == 2
    assert told.err.splitlines() == [
        "error: --ray: runs on Ray need the package ray",
        'hint: pip install "comfy-runner[ray]"',
    ]
    assert not (tmp_path / "runs").exists()
