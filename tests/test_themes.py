"""Tests are chosen by their markers: by folder, by what they ask for, by what they say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import product
from pathlib import Path, PurePath

import pytest

from tests.themes import themes

_ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("path", "fixtures", "expected"),
    [
        ("tests/graph/test_sizes.py", ["tmp_path"], set()),
        ("tests/graph/test_merge.py", ["tmp_path", "local_options"], {"real"}),
        ("tests/real/test_render.py", [], {"real"}),
        ("tests/report/page/test_page.py", ["open_page", "browser"], {"browser"}),
        ("tests/kill/test_kills.py", [], {"kill"}),
        ("tests/system/test_disk.py", ["tmp_path"], {"slow"}),
        ("tests/hostile/test_wire.py", ["comfyui_server"], {"hostile", "real"}),
        ("tests/report/real.py", [], set()),
    ],
)
def test_a_test_is_marked_by_its_folders_and_its_fixtures(path: str, fixtures: list[str], expected: set[str]) -> None:
    assert themes(PurePath(path), fixtures) == expected


def _collected(*args: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *args]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return {line for line in done.stdout.splitlines() if "::" in line}


@pytest.mark.slow
def test_markers_choose_by_folder_fixture_and_parameter() -> None:
    files = ("tests/real/test_catalogue.py", "tests/engine/comfyui/test_client.py", "tests/engine/local/test_installation.py")

    everything, quick, real = _collected(*files), _collected("-m", "not real", *files), _collected("-m", "real", *files)

    assert quick | real == everything
    assert {name for name in everything if name.startswith(files[0]) or "[real " in name} < real
    assert "tests/engine/local/test_installation.py::test_a_second_setup_finds_everything_and_does_nothing" in real
    assert {name.partition("::")[0] for name in quick} == set(files[1:])


def _lanes() -> list[str]:
    """Return what `make test` chooses in its lanes, outside the folders that are run whole."""
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    (nothing,) = re.findall(r"^NEEDS_NOTHING := (.*)$", makefile, flags=re.MULTILINE)
    return [nothing, *(lane for lane in re.findall(r'-m "([a-z ]+)"', makefile))]


@pytest.mark.parametrize("chosen", [*product([False, True], repeat=3)])
def test_each_test_is_in_one_lane_of_make_test(chosen: tuple[bool, bool, bool]) -> None:
    of_test = {"kill": False, "hostile": False, **dict(zip(("real", "browser", "slow"), chosen, strict=True))}

    lanes = _lanes()

    assert len(lanes) == 3
    assert [eval(lane, {}, of_test) for lane in lanes].count(True) == 1  # noqa: S307 - lines of our own Makefile


def test_the_folders_of_kills_and_hostile_input_are_run_whole() -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")

    assert "\nCOUNTED := tests/hostile tests/kill\n" in makefile
    assert "$(BIN)/pytest $(COUNTED))\n" in makefile
