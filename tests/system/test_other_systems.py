"""What is otherwise on Windows and on macOS, as far as any system can imitate it: files in use, ends of lines, drives, letters.

Names that only one system takes are tried in ``tests/recipe/test_names.py``.
"""

from __future__ import annotations

import errno
import unicodedata
from pathlib import Path

import pytest

from comfy_runner import atomic_files, plan, render
from comfy_runner.atomic_files import move_into_place, write_atomically
from comfy_runner.errors import InputError, RunFolderError
from comfy_runner.store.local import LocalStore, folder_errors
from comfy_runner.text_files import scheme_of

_RECIPE = """\
checkpoint: a.safetensors
prompt: >-
  a fox
  in the snow
size: {width: 64, height: 64}
sweep:
  negative_prompt: {file: words.txt}
"""


class _Windows:
    """`Path.replace` as Windows has it while another program has a file open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, times: int, says: int | None = 32) -> None:
        self.asked = 0
        self._times, self._says, self._replace = times, says, Path.replace
        monkeypatch.setattr(Path, "replace", lambda source, target: self._answer(source, target))
        monkeypatch.setattr(atomic_files, "_WAITS", (0.0,) * 4)

    def _answer(self, source: Path, target: Path) -> Path:
        self.asked += 1
        if self.asked > self._times:
            return self._replace(source, target)
        error = PermissionError(errno.EACCES, "The process cannot access the file", str(source))
        if self._says is not None:
            error.winerror = self._says  # type: ignore[attr-defined]
        raise error


@pytest.mark.parametrize("says", [5, 32, 33])
def test_a_file_that_a_scanner_has_open_for_a_moment_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")
    windows = _Windows(monkeypatch, times=4, says=says)

    write_atomically(path, b"new")

    assert (path.read_bytes(), windows.asked) == (b"new", 5)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_stays_open_is_an_error_that_says_so_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")
    _Windows(monkeypatch, times=100)

    with pytest.raises(RunFolderError, match=r"x\.json: is in use by another program"), folder_errors(path):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_stays_open_is_not_moved_away_and_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"a picture")
    _Windows(monkeypatch, times=100)

    with pytest.raises(RunFolderError, match="is in use by another program"):
        LocalStore(tmp_path).archive("a.png", "superseded/a.png")

    assert (tmp_path / "a.png").read_bytes() == b"a picture"


def test_a_right_that_is_missing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"")
    windows = _Windows(monkeypatch, times=100, says=None)

    with pytest.raises(PermissionError):
        move_into_place(tmp_path / "a", tmp_path / "b")

    assert windows.asked == 1


def test_files_as_windows_editors_write_them_mean_the_same(tmp_path: Path) -> None:
    found = []
    for mark, end in (("", "\n"), ("\ufeff", "\r\n")):
        for name, text in (("fox.yaml", _RECIPE), ("words.txt", "blurry\ngrey, dull\n")):
            (tmp_path / name).write_bytes(f"{mark}{text}".replace("\n", end).encode())
        found.append([render(tmp_path / "fox.yaml", only=[job]) for job in ("fox-neg-blurry", "fox-neg-grey-*")])

    assert found[0] == found[1]
    assert all("a fox in the snow" in str(each) for each in found[0])
    assert "grey, dull" in str(found[0][1])


@pytest.mark.parametrize("words", [["Fox", "fox"], ["caf\u00e9", "cafe\u0301"]], ids=["case", "form"])
def test_files_that_some_systems_take_for_one_are_refused_before_anything_is_made(tmp_path: Path, words: list[str]) -> None:
    assert len({unicodedata.normalize("NFC", word).casefold() for word in words}) == 1
    recipe = {
        "checkpoint": "a.safetensors",
        "prompt": "a {word}",
        "size": {"width": 64, "height": 64},
        "vars": {"word": words[0]},
        "output": {"original": "{vars.word}.png", "upscaled": "{vars.word}-large.png"},
    }

    with pytest.raises(InputError, match=r"file (fox|cafe)\.png belongs to both"):
        plan([recipe], sweeps=[f"vars.word={','.join(words)}"], out=tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["C:\\runs\\fox", "c:/runs/fox", "D:fox", "\\\\server\\share\\fox", "\\\\?\\C:\\runs"])
def test_a_drive_is_not_the_scheme_of_a_url(path: str) -> None:
    assert scheme_of(path) == ""
