"""``comfy-runner bisect`` on a small repository whose server changes its pictures at a planted commit."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bisecting.repository import Repository
from tests.cli.support import Running, Typed, recipe_file

Cli = Callable[..., Typed]

pytestmark = pytest.mark.slow  # each version has a server started, which is a process of its own

_ROOT = Path(__file__).parents[2]
_NEW = '{"look": "new"}'
_WORSE = '{"forgetful": true}'


def _recipe(folder: Path) -> Path:
    """Return a recipe whose two jobs share a first pass, unless the server has lost it."""
    return recipe_file(folder, sweep={"upscale.denoise": [0.5, 0.7]}, expect={"passes": {"first": {"max": 1}}})


class _Setup:
    """A repository of a server, the commands for it, and how often it was started.

    Args:
        folder: The test's folder.
    """

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.repo = Repository(folder / "ComfyUI")
        self.url = f"http://127.0.0.1:{port}"
        self._starts = folder / "starts"
        self._starts.touch()
        # The file `hold` names a version whose server takes jobs and does none.
        self.hold = folder / "hold"
        self.start = f"""
            echo {{version}} >> {self._starts}
            state=$(cat {self.repo.folder}/state.txt)
            test -n "$state" || exit 3
            test "$(cat {self.hold})" != {{version}} || state='{{"frozen": true}}'
            cd {_ROOT} && exec {sys.executable} -m tests.standin {port} "$state"
        """

    def args(self, good: str, bad: str, recipe: Path, *more: str) -> list[str]:
        return ["bisect", good, bad, str(recipe), "--repo", "ComfyUI", "--server", self.url, "--start", self.start, *more]

    @property
    def started(self) -> list[str]:
        """The versions whose servers were started, in order."""
        return self._starts.read_text().split()

    def answers(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", int(self.url.rpartition(":")[2]))) == 0


@pytest.fixture
def setup(tmp_path: Path) -> _Setup:
    return _Setup(tmp_path)


def test_the_commit_that_changed_the_pictures_is_found_past_a_merge_and_one_that_does_not_start(
    cli: Cli, setup: _Setup, tmp_path: Path
) -> None:
    repo = setup.repo
    repo.commit("one", state="{}")
    repo.git("tag", "v1")
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("on the side", other="1")
    repo.git("checkout", "--quiet", "main")
    last_good = repo.merge("side", "Merge the side")
    changed = repo.commit("Sample with other noise", state=_NEW)
    broken = repo.commit("Break the start", state="")
    repo.commit("Mend the start", state=_NEW)
    repo.commit("Say hello", readme="hello")

    done = cli(*setup.args("v1", "main", recipe_file(tmp_path)))

    assert (done.code, done.out) == (0, f"{changed}\n"), done.err
    assert f"{changed[:10]} Sample with other noise is the first bad version" in done.err
    assert f"last good: {last_good[:10]} Merge the side, runs/bisect-lake/{last_good[:12]}" in done.err
    assert repo.head == "main"
    assert not setup.answers()
    assert len(setup.started) == len({*setup.started})
    assert broken not in done.out
    said = repo.git("bisect", "replay", "../runs/bisect-lake/bisect.log")
    assert f"{changed} is the first bad commit" in said


def test_after_a_ctrl_c_all_is_as_it_was_and_the_same_command_goes_on(cli: Cli, setup: _Setup, tmp_path: Path) -> None:
    repo = setup.repo
    names = [repo.commit(f"number {number}", state=_WORSE if number > 1 else "{}", number=str(number)) for number in range(4)]
    (tmp_path / "versions").write_text("".join(f"{name}\n" for name in names[::-1]))
    command = setup.args(names[0], names[3], _recipe(tmp_path), "--versions", "versions")
    setup.hold.write_text(names[2])

    running = Running(*command, "-v", folder=tmp_path)
    running.wait_for(f"run folder runs/bisect-lake/{names[2][:12]}")
    running.signal(signal.SIGINT)
    interrupted = running.end()

    assert interrupted.code == 130, interrupted.err
    assert interrupted.err.endswith("error: interrupted\nhint: the same command continues where it stopped\n")
    assert (repo.head, setup.answers()) == ("main", False)
    assert setup.started == [names[0], names[3], names[2]]
    setup.hold.unlink()
    done = cli(*command)
    assert (done.code, done.out) == (0, f"{names[2]}\n"), done.err
    assert done.err.count("rendered before") == 2
    assert setup.started[3:] == [names[2], names[1]]
    again = cli(*command)
    assert again.out == done.out
    assert again.err.count("rendered before") == 4
    assert len(setup.started) == 5


def test_versions_that_cannot_be_judged_make_the_answer_a_range(cli: Cli, setup: _Setup, tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("# releases\n1.0\n1.1\n1.2\n2.0\n")
    start = f"""
        case {{version}} in 1.0) state={{}} ;; 2.0) state='{_NEW}' ;; *) echo no module named torch; exit 3 ;; esac
        cd {_ROOT} && exec {sys.executable} -m tests.standin {setup.url.rpartition(":")[2]} "$state"
    """
    args = ["bisect", "1.0", "2.0", str(recipe_file(tmp_path)), "--versions", "versions", "--server", setup.url, "--start", start]

    done = cli(*args, "--json", "--out", "search")

    assert done.code == 1, done.err
    *judged, found = map(json.loads, done.out.splitlines())
    assert [(each["version"]["name"], each["judgment"]) for each in judged] == [
        ("1.0", "good"),
        ("2.0", "bad"),
        ("1.2", "skip"),
        ("1.1", "skip"),
    ]
    assert [version["name"] for version in found["suspects"]] == ["1.1", "1.2", "2.0"]
    assert "the first bad version is one of 3, for 2 versions could not be judged:" in done.err
    assert "1.2: skipped: search/1-2-" in done.err
    assert "exit code 3" in done.err
    log = tmp_path / "search" / "bisect.log"
    log.write_text(log.read_text().replace("skip 1.1\n", ""))
    again = cli(*args, "--out", "search")
    assert again.out.splitlines() == ["1.1", "1.2", "2.0"]
    assert "1.2: skipped: left out, as bisect.log says" in again.err
    assert again.err.count("exit code 3") == 1
