"""A run folder, or a part of it, moved or taken away at any moment of a run: an error of the folder, and every picture is safe."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.running.events import JobResult
from tests.running.support import posted, rendered, sweep
from tests.standin import StandIn

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be moved")]

_RECIPE = sweep({"seed": [1, 2]}, output={"format": "webp"})
_TOUCHES = ("open", "os.rename", "os.mkdir", "os.remove", "os.scandir", "os.listdir", "os.rmdir")
_STRIDE = 11
"""Of the some 65 moments of a run every so-manieth is tried; each act begins at another one."""


class _Moment:
    """The moment before a run touches something in a folder for the n-th time.

    Attributes:
        folder: The folder; empty while nothing is awaited.
    """

    folder = ""

    def __init__(self) -> None:
        sys.addaudithook(self._touched)  # for as long as Python runs

    @contextmanager
    def before(self, number: int, folder: Path, act: Callable[[Path], None]) -> Iterator[None]:
        """Act at that moment, if it comes."""
        self._left, self._act, self.folder = number, act, str(folder)
        try:
            yield
        finally:
            self.folder = ""

    def _touched(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.folder or event not in _TOUCHES or not isinstance(args[0], str | bytes | os.PathLike):
            return
        if os.fsdecode(args[0]).startswith(self.folder):
            self._left -= 1
            if self._left == 0:
                folder, self.folder = Path(self.folder), ""
                self._act(folder)


_MOMENT = _Moment()


def _move(out: Path) -> None:
    out.rename(out.with_name("moved"))


def _replace_by_folder(out: Path) -> None:
    _move(out)
    out.mkdir()


def _remove(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)


def _replace_by_file(out: Path) -> None:
    _remove(out)
    out.write_text("mine", encoding="utf-8")


def _last_job(out: Path) -> Path:
    return max((path for path in out.glob("lake*") if path.is_dir()), default=out / "none")


def _move_job(out: Path) -> None:
    if _last_job(out).exists():
        _last_job(out).rename(out.with_name("job"))


def _remove_job(out: Path) -> None:
    shutil.rmtree(_last_job(out), ignore_errors=True)


def _remove_ledger(out: Path) -> None:
    (out / "ledger.sqlite").unlink(missing_ok=True)


def _remove_spooled(out: Path) -> None:
    for path in out.glob("lake*/.*.part"):
        path.unlink()


_ACTS: list[Callable[[Path], None]] = [
    _move,
    _replace_by_folder,
    _remove,
    _replace_by_file,
    _move_job,
    _remove_job,
    _remove_ledger,
    _remove_spooled,
]


def _outcome(server: StandIn, out: Path) -> tuple[JobResult, ...] | None:
    """Return the results of a run; None where the run folder could not be used any more."""
    try:
        results = rendered(server, out, _RECIPE)
    except RunFolderError:
        return None
    assert all(result.state == "done" or isinstance(result.error, RunFolderError) for result in results)
    return results


def _has_ended_well(results: tuple[JobResult, ...] | None) -> bool:
    return results is not None and all(result.state == "done" for result in results)


@pytest.mark.parametrize("act", _ACTS)
def test_whatever_is_taken_away_whenever_no_picture_is_lost(server: StandIn, tmp_path: Path, act: Callable[[Path], None]) -> None:
    for number in count(1 + _ACTS.index(act) % _STRIDE, _STRIDE):
        folder = tmp_path / str(number)
        folder.mkdir()
        out, moved = folder / "out", folder / "moved"
        before = len(posted(server))
        with _MOMENT.before(number, out, act):
            first = _outcome(server, out)
            came = not _MOMENT.folder
        if not came:
            break
        if moved.exists() and not _has_ended_well(first):
            assert list(out.glob("*/job.json")) == []  # nothing at the old place looks like a run
            out = moved
        elif out.is_file():
            out.unlink()

        again = _outcome(server, out)

        assert _has_ended_well(again), (act, number)
        assert again is not None
        assert all(path.is_file() for result in again for paths in result.files.values() for path in paths)
        if out == moved:
            assert len(posted(server)) == before + 2, (act, number)  # what was posted was collected
    assert number > 4 * _STRIDE
