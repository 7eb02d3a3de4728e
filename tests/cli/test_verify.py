"""``comfy-runner verify``: what it says, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Typed, recipe_file
from tests.standin import StandIn


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        ("", 0, "all as collected"),
        ("picture", 4, "1 changed"),
        ("sidecar", 5, "1 unreadable"),
        ("both", 5, "1 changed, 1 unreadable"),
    ],
)
def test_the_exit_code_says_what_is_wrong(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path, spoil: str, code: int, told: str
) -> None:
    recipe_file(tmp_path, sweep={"seed": [1, 2]})
    cli("run", "lake.yaml", "--server", server.url)
    run = tmp_path / "runs/lake"
    if spoil in ("picture", "both"):
        (run / "lake-s1/upscaled.png").write_bytes(b"another")
    if spoil in ("sidecar", "both"):
        (run / "lake-s2/job.json").write_bytes(b"[]")

    found = cli("verify", "runs/lake")
    as_json = cli("verify", "runs/lake", "--json")

    assert (found.code, as_json.code) == (code, code)
    assert found.out.startswith("runs/lake: 2 jobs, 4 files, ")
    assert found.out.endswith(f": {told}\n")
    assert found.err.count("error: ") == len(json.loads(as_json.out)["discrepancies"]) == told.count("1 ")
    if spoil == "picture":
        assert "error: runs/lake/lake-s1/upscaled.png: was changed" in found.err
        assert "hint: run its recipe again with --force" in found.err


def test_what_it_says_has_the_keys_that_are_documented(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    cli("run", "lake.yaml", "--server", server.url)
    (tmp_path / "runs/lake/lake/upscaled.png").unlink()
    (tmp_path / "runs/lake/notes.txt").write_bytes(b"")

    found = json.loads(cli("verify", "runs/lake", "--json").out)

    documented = (Path(__file__).parents[2] / "docs/repeat.md").read_text(encoding="utf-8")
    for name in (*found, *found["discrepancies"][0]):
        assert f"`{name}`" in documented
    assert found["discrepancies"][0]["job"] == "lake"
    assert found["extra"] == ["notes.txt"]
