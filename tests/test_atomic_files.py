from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.atomic_files import open_beside, write_atomically


def test_a_new_file_is_written_whole_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/x.json"

    write_atomically(path, b"content")

    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"a much longer old content")

    write_atomically(path, b"new")

    assert path.read_bytes() == b"new"


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.mkdir()
    (path / "mine").write_bytes(b"1")

    with pytest.raises(OSError, match=r"x\.json"):
        write_atomically(path, b"new")

    assert list(tmp_path.rglob("*")) == [path, path / "mine"]


def test_a_file_on_the_way_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")

    with pytest.raises(OSError, match="file"):
        write_atomically(tmp_path / "file/x.json", b"new")


def test_the_file_has_the_rights_that_any_other_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")

    write_atomically(tmp_path / "x.json", b"new")

    assert (tmp_path / "x.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["x.png", "y" * 200 + ".png", "é" * 100 + ".png"])
def test_a_temporary_file_is_hidden_in_the_same_folder_and_new_each_time(tmp_path: Path, name: str) -> None:
    opened = [open_beside(tmp_path / name) for _ in range(2)]
    for file, _ in opened:
        file.close()

    paths = {path for _, path in opened}
    assert len(paths) == 2
    assert all(path.parent == tmp_path and path.name.startswith(".") and path.suffix == ".part" for path in paths)
