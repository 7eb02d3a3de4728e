"""Templates of pictures in the user's cache folder: kept by their content, found again, and removed when nobody needs them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from comfy_runner.importer.template_cache import cache_template, cached_template

_MONTH = 30 * 24 * 3600


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_is_kept_is_found_by_its_content(tmp_path: Path) -> None:
    path = cache_template("{}", name="fox", caches=tmp_path)

    assert path.read_text(encoding="utf-8") == "{}"
    assert path.name == "fox.json.j2"
    assert cached_template(_hash("{}"), name="fox", caches=tmp_path) == path
    assert cache_template("{}", name="fox", caches=tmp_path) == path
    assert cached_template(_hash("{}"), name="wolf", caches=tmp_path) is None
    assert cached_template(_hash("{ }"), name="fox", caches=tmp_path) is None


def test_what_somebody_has_changed_is_written_anew_and_not_found(tmp_path: Path) -> None:
    path = cache_template("{}", name="fox", caches=tmp_path)
    path.write_text("[]", encoding="utf-8")

    assert cached_template(_hash("{}"), name="fox", caches=tmp_path) is None
    assert cache_template("{}", name="fox", caches=tmp_path).read_text(encoding="utf-8") == "{}"


def test_what_was_not_used_for_months_is_removed(tmp_path: Path) -> None:
    old, used, recent = (cache_template(text, name="fox", caches=tmp_path) for text in ("old", "used", "recent"))
    now = old.stat().st_mtime
    for path, months in ((old, 4), (used, 4), (recent, 2)):
        os.utime(path.parent, (now - months * _MONTH,) * 2)

    cache_template("used", name="fox", caches=tmp_path)
    cache_template("new", name="fox", caches=tmp_path)

    assert [path.is_file() for path in (old, used, recent)] == [False, True, True]


def test_what_a_picture_of_ours_needs_is_in_use(tmp_path: Path) -> None:
    path = cache_template("{}", name="fox", caches=tmp_path)
    old = path.stat().st_mtime - 4 * _MONTH
    os.utime(path.parent, (old, old))

    assert cached_template(_hash("{}"), name="fox", caches=tmp_path) == path
    cache_template("new", name="fox", caches=tmp_path)
    assert path.is_file()


def test_a_name_leads_to_no_other_folder(tmp_path: Path) -> None:
    cache_template("{}", name="fox", caches=tmp_path / "caches")
    (tmp_path / "wolf.json.j2").write_text("{}", encoding="utf-8")

    for name in ("../../../wolf", str(tmp_path / "wolf"), "..", "", "fox\0"):
        assert cached_template(_hash("{}"), name=name, caches=tmp_path / "caches") is None


@pytest.mark.parametrize("is_there", [True, False], ids=["cannot be written", "no home"])
def test_without_a_cache_folder_a_template_lasts_as_long_as_the_process(tmp_path: Path, *, is_there: bool) -> None:
    (tmp_path / "caches").write_text("a file where the folder would be", encoding="utf-8")

    path = cache_template("{}", name="fox", caches=tmp_path / "caches" if is_there else None)

    assert path.read_text(encoding="utf-8") == "{}"
    assert not path.is_relative_to(tmp_path)
