"""Streams that are closed, readers that leave, encodings that lack characters: the exit code is right, there is no traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cli.support import Running, recipe_file
from tests.standin import NodeFault, StandIn
from tests.system.support import is_tidy, pictures, shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no shells of this kind")

_HAS_FULL = Path("/dev/full").exists()
_BOTH = ["lake/original.png", "lake/upscaled.png"]

# What a user's machine may say of its characters; the second is a system that knows nothing but ASCII.
_ENCODINGS = {
    "no such locale": {"LC_ALL": "xx_YY.no-such-charset"},
    "only ASCII": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "ascii streams": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1 streams": {"PYTHONIOENCODING": "latin-1:strict"},
}


def _run(server: StandIn, folder: Path, line: str, *args: str) -> tuple[int, str, str]:
    done = shell(line, "run", str(recipe_file(folder)), "--server", server.url, "--out", "out", *args, folder=folder)
    assert is_tidy(done), done
    return done.code, done.out, done.err


# Closed from the start


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_run_needs_no_streams(server: StandIn, tmp_path: Path, closed: str) -> None:
    code, out, _ = _run(server, tmp_path, f'"$@" {closed}')

    assert code == 0
    assert pictures(tmp_path / "out") == _BOTH
    assert len(out.splitlines()) == (0 if ">&-" in closed.split() else 2)


def test_what_is_meant_for_closed_streams_gets_into_no_file(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    code, _, _ = _run(server, tmp_path, '"$@" <&- >&- 2>&-', "-v")

    assert code == 1
    assert (tmp_path / "out/.lock").read_bytes() == b""
    assert b"done in" not in b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
@pytest.mark.parametrize(
    ("args", "code"),
    [(("--help",), 0), (("schema",), 0), (("run", "nowhere.yaml"), 2), ((), 2)],
)
def test_other_commands_need_no_streams_either(tmp_path: Path, closed: str, args: tuple[str, ...], code: int) -> None:
    done = shell(f'"$@" {closed}', *args, folder=tmp_path)

    assert done.code == code
    assert is_tidy(done)


# Left meanwhile


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_a_reader_that_takes_one_line_and_leaves_stops_no_run(server: StandIn, tmp_path: Path, args: tuple[str, ...]) -> None:
    code, out, err = _run(server, tmp_path, '{ "$@"; echo "code $?" >&2; } | head -n 1', *args)

    assert code == 0
    assert len(out.splitlines()) == 1
    assert err.splitlines()[-1] == "code 0"
    assert pictures(tmp_path / "out") == _BOTH


def test_a_reader_of_the_talk_that_leaves_stops_no_run(server: StandIn, tmp_path: Path) -> None:
    _, out, _ = _run(server, tmp_path, 'exec 3>&1; { "$@" 2>&1 >&3; echo "code $?" >&3; } | head -n 1 >&2', "-v")

    assert out.splitlines()[-1] == "code 0"
    assert pictures(tmp_path / "out") == _BOTH


# Full


@pytest.mark.parametrize("args", [("run", "--help"), ("--version",), ("schema",)] if _HAS_FULL else [])
def test_output_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = shell('"$@" >/dev/full', *args, folder=tmp_path)

    assert (done.code, done.err) == (1, "error: stdout: cannot be written: no space left on device\n")


@pytest.mark.parametrize("node", ["first_pass"] if _HAS_FULL else [])
def test_how_a_run_ended_is_told_also_where_its_paths_do_not_fit_on_the_disk(server: StandIn, tmp_path: Path, node: str) -> None:
    good = _run(server, tmp_path, '"$@" >/dev/full')
    server.state.node_faults[node] = NodeFault.OUT_OF_MEMORY
    bad = _run(server, tmp_path, '"$@" >/dev/full', "--force", "--set", "seed=2")

    assert (good[0], bad[0]) == (1, 1)
    assert "1 done" in good[2]
    assert "error: stdout: cannot be written" in good[2]
    assert "the GPU ran out of memory" in bad[2]


@pytest.mark.parametrize("line", ['"$@" 2>/dev/full'] if _HAS_FULL else [])
def test_talk_that_does_not_fit_on_the_disk_is_dropped(server: StandIn, tmp_path: Path, line: str) -> None:
    code, out, _ = _run(server, tmp_path, line)

    assert (code, len(out.splitlines())) == (0, 2)


# Characters


@pytest.mark.parametrize("changes", _ENCODINGS.values(), ids=list(_ENCODINGS))
def test_no_character_is_too_odd_for_any_stream(server: StandIn, tmp_path: Path, changes: dict[str, str]) -> None:
    folder = tmp_path / "bücher 🌅"
    folder.mkdir()
    # A denoise that low brings a warning that names the file.
    recipe = recipe_file(folder, name="wald 🌲", prompt="🌅 木", upscale={"denoise": 0.2})
    args = ("run", str(recipe), "--server", server.url, "--out", "aus 🎉")

    done = shell('"$@"', *args, folder=folder, changes=changes)
    wrong = shell('"$@"', *args, "--set", "checkpoint=🎨.safetensors", "--force", folder=folder, changes=changes)

    assert (done.code, wrong.code) == (0, 2)
    assert all(map(is_tidy, (done, wrong)))
    assert all((folder / path).is_file() for path in done.out.splitlines())
    assert len(done.out.splitlines()) == 2
    assert "error: --set checkpoint: " in wrong.err
    assert "warning: " in done.err


def test_a_graph_is_printed_in_utf_8_on_every_machine(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, prompt="🌅 木")

    done = shell('"$@"', "render", str(recipe), folder=tmp_path, changes=_ENCODINGS["only ASCII"])

    assert done.code == 0
    assert '"text": "🌅 木"' in done.out


@pytest.mark.parametrize("name", ["only ASCII", "latin-1 streams"])
def test_the_live_view_shows_odd_characters_or_their_escapes(server: StandIn, tmp_path: Path, name: str) -> None:
    recipe = recipe_file(tmp_path, name="wald 🌲", upscale={"denoise": 0.2})
    args = ("run", str(recipe), "--server", server.url, "--out", "aus 🎉")
    done = Running(*args, folder=tmp_path, terminal=True, changes=_ENCODINGS[name]).end()

    assert done.code == 0, done.err
    assert is_tidy(done)
    assert "1 done" in done.err


def test_a_name_of_raw_bytes_is_printed_as_it_is(server: StandIn, tmp_path: Path) -> None:
    out = os.fsdecode(b"caf\xe9")
    recipe = str(recipe_file(tmp_path))

    done = shell('"$@"', "run", recipe, "--server", server.url, "--out", out, folder=tmp_path)

    assert done.code == 0
    assert [os.fsencode(line) for line in done.out.splitlines()] == [b"caf\xe9/lake/original.png", b"caf\xe9/lake/upscaled.png"]
    assert (tmp_path / out / "lake/original.png").is_file()
