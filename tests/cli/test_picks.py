"""``picks``, typed as a user types it: the list, ids for a second run, copies, and what is left out."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import comfy_runner
from comfy_runner.report.copied_picks import copy_pictures
from comfy_runner.report.picked import read_run_picks
from comfy_runner.report.picks import FILE
from comfy_runner.report.run_data import read_material
from comfy_runner.store.local import LocalStore
from tests.cli.support import Typed
from tests.recipe.support import written
from tests.report.support import make_run, photo

Cli = Callable[..., Typed]
_REPLACED = "warning: left out 1 picture rendered again after being judged: lake-s0-d07\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("made") / "lake", {"seed": [0, 1], "upscale.denoise": [0.3, 0.5, 0.7]}, photo)
    sha256 = "0" * 64
    said: dict[str, Any] = {
        "lake-s1-d05": {"stars": 2},
        "lake-s0-d03": {"stars": 5, "note": "good\nreeds"},
        "lake-s1-d07": {"stars": 4, "rejected": True},
        "lake-s0-d07": {"stars": 3, "sha256": sha256},
    }
    pairs = [{"left": "lake-s0-d03", "right": "lake-s0-d07", "better": "left", "right_sha256": sha256}]
    (run / FILE).write_text(json.dumps({"format": 1, "picks": said, "pairs": pairs}), encoding="utf-8")
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "lake"))


@pytest.mark.usefixtures("run")
def test_the_list_says_what_was_said_and_what_is_left_out(cli: Cli) -> None:
    done = cli("picks", "lake")

    assert done.code == 0
    assert done.out.splitlines() == [
        "★★★★★     lake-s0-d03  good\N{REPLACEMENT CHARACTER}reeds",
        "★★        lake-s1-d05",
        "rejected  lake-s1-d07",
    ]
    assert done.err == f"{_REPLACED}2 picks of 3 judged pictures\n"
    assert cli("picks", "lake", "--min", "3").out.splitlines() == ["★★★★★  lake-s0-d03  good\N{REPLACEMENT CHARACTER}reeds"]


@pytest.mark.usefixtures("run")
def test_json_is_for_programs(cli: Cli) -> None:
    told = json.loads(cli("picks", "lake", "--json").out)

    assert [(each["job"], each["stars"], each["rejected"]) for each in told["pictures"]][1:] == [
        ("lake-s1-d05", 2, False),
        ("lake-s1-d07", 4, True),
    ]
    assert (told["pairs"], told["replaced"]) == (0, ["lake-s0-d07"])


@pytest.mark.usefixtures("run")
def test_ids_are_a_line_each(cli: Cli) -> None:
    assert cli("picks", "lake", "--ids").out == "lake-s0-d03\nlake-s1-d05\n"


@pytest.mark.parametrize("only", ["@ids", "-", "@-"])
def test_ids_choose_the_jobs_of_a_second_run(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: str) -> None:
    ids = "# mine\n\nlake-d030-s0\r\n  lake-d050-*\n"
    (tmp_path / "ids").write_text(ids, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ids.encode())))
    recipe = written(tmp_path, "lake.yaml", "name: lake\ncheckpoint: a.safetensors\nprompt: a lake\nupscale: {factor: 3}\n")
    done = cli("plan", str(recipe), "--sweep", "seed=0,1", "--sweep", "upscale.denoise=0.3,0.5", "--only", only, "--json")

    assert {job["job"] for job in json.loads(done.out)["jobs"]} == {"lake-d030-s0", "lake-d050-s0", "lake-d050-s1"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("\n# none\n", "error: --only: names no job (got @ids)\n"),
        (None, "error: ids: no such file"),
        ("lake-s9", "error: --only: matches no job"),
    ],
)
def test_a_file_that_names_no_job_is_an_error_and_never_every_job(
    cli: Cli, tmp_path: Path, content: str | None, error: str
) -> None:
    recipe = written(tmp_path, "lake.yaml", "name: lake\ncheckpoint: a.safetensors\nprompt: a lake\n")
    if content is not None:
        (tmp_path / "ids").write_text(content, encoding="utf-8")
    done = cli("plan", str(recipe), "--only", "@ids")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(error)


def test_copies_are_the_very_files_and_nothing_is_overwritten(cli: Cli, run: Path) -> None:
    done = cli("picks", "lake", "--copy", "best")
    copies = [run.parent / line for line in done.out.splitlines()]

    assert [path.name for path in copies] == ["lake-s0-d03.png", "lake-s1-d05.png"]
    assert copies[0].read_bytes() == (run / "lake-s0-d03" / "upscaled.png").read_bytes()
    assert cli("picks", "lake", "--copy", "best").code == 0
    copies[1].write_bytes(b"mine")
    copies[0].unlink()
    again = cli("picks", "lake", "--copy", "best")
    assert again.code == 2
    assert "best/lake-s1-d05.png: already exists, and is not a copy of the picked picture" in again.err
    assert (copies[1].read_bytes(), copies[0].exists()) == (b"mine", False)


def test_a_damaged_picture_is_not_copied(cli: Cli, run: Path) -> None:
    picture = run / "lake-s0-d03" / "upscaled.png"
    picture.write_bytes(picture.read_bytes()[:-1])
    done = cli("picks", "lake", "--copy", "best")

    assert done.code == 4
    assert "lake-s0-d03/upscaled.png: has changed since it was collected" in done.err
    assert [path.name for path in (run.parent / "best").iterdir()] == []


def test_pictures_are_copied_from_where_they_are_under_safe_names(run: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(run, tmp_path / "store")
    shutil.rmtree(run / "lake-s0-d03")
    material = read_material(run, LocalStore(elsewhere))
    (one, other, _) = read_run_picks(material).pictures
    odd = comfy_runner.PickedPicture(**{name: getattr(one, name) for name in one.__slots__} | {"name": "../CON\n/x"})
    material_of_odd = type(material)(run, material.entries, material.axes, material.store)

    with pytest.raises(KeyError):  # such a name is no picture of the run
        copy_pictures(material_of_odd, [odd], tmp_path / "best")
    copied = copy_pictures(material, [one, other], tmp_path / "best")
    assert copied[0].read_bytes() == (elsewhere / "lake-s0-d03" / "upscaled.png").read_bytes()


def test_what_somebody_else_says_is_added(cli: Cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(
        '{"format": 1, "picks": {"lake-s0-d05": {"stars": 3}, "gone": {"stars": 1}}}', encoding="utf-8"
    )
    done = cli("picks", "lake", "--import", "theirs.json", "--ids")

    assert done.out.splitlines() == ["lake-s0-d03", "lake-s0-d05", "lake-s1-d05"]
    assert "warning: theirs.json: left out 1 picture that this run does not have: gone\n" in done.err
    assert "gone" not in (run / FILE).read_text(encoding="utf-8")
    found = comfy_runner.picks(run)
    assert (found.job_ids(3), found.pairs) == (("lake-s0-d03", "lake-s0-d05"), 0)


@pytest.mark.parametrize(
    ("given", "code", "error"),
    [
        (["--ids", "--json"], 2, "--ids, --copy and --json cannot be used together"),
        (["--min", "6"], 2, "6 is not in the range 1<=x<=5"),
        (["--import", "nowhere.json"], 2, "nowhere.json: cannot be read (no such file or directory)"),
        (["--import", "broken.json"], 2, "broken.json: is not JSON"),
        (["--copy", "s3://b/x"], 2, "--copy: must be a path on this machine, not a URL"),
    ],
)
def test_mistakes_are_told_and_nothing_is_changed(cli: Cli, run: Path, given: list[str], code: int, error: str) -> None:
    (run.parent / "broken.json").write_text("{", encoding="utf-8")
    before = (run / FILE).read_bytes()
    done = cli("picks", "lake", *given)

    assert (done.code, done.out if "--json" not in given else "") == (code, "")
    assert error in done.err
    assert (run / FILE).read_bytes() == before


def test_a_run_without_picks_says_how_it_comes_by_some(cli: Cli, run: Path) -> None:
    (run / FILE).unlink()
    done = cli("picks", "lake", "--ids")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: lake: has no picks.json")


def test_a_calibration_leaves_pictures_out_that_were_rendered_again(cli: Cli, run: Path) -> None:
    said = {"lake-s0-d03": {"stars": 5}, "lake-s0-d05": {"stars": 1}, "lake-s0-d07": {"stars": 3, "sha256": "0" * 64}}
    (run / FILE).write_text(json.dumps({"format": 1, "picks": said}), encoding="utf-8")
    done = cli("suggest", "--calibrate", "lake")

    assert "1 pair (1 by their stars) of 1 original" in done.out
    assert "warning: lake/picks.json: left out 1 picture rendered again after being judged: lake-s0-d07" in done.err
