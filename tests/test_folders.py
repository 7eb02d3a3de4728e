"""Tests lie where one looks for them: the folders of the package are those of the tests, one to one; themes have their own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePath

import pytest

_TESTS = Path(__file__).parent
_PACKAGE = _TESTS.parent / "comfy_runner"

# What is about the whole program rather than about one of its folders.
_THEMES = {"real", "kill", "hostile", "system", "connections", "standin"}


def _python_files(root: Path) -> list[PurePath]:
    return [path.relative_to(root) for path in sorted(root.rglob("*.py"))]


_MODULES = [path for path in _python_files(_PACKAGE) if not path.stem.startswith("__")]
_TEST_FILES = [path for path in _python_files(_TESTS) if path.name.startswith("test_") and path.parts[0] not in _THEMES]


@pytest.mark.parametrize("folder", sorted({str(path.parent) for path in _MODULES}))
def test_each_folder_of_modules_has_a_folder_of_tests(folder: str) -> None:
    assert [path for path in _TEST_FILES if path.parent == PurePath(folder)]


def test_each_folder_of_tests_is_one_of_the_package_or_a_part_of_one() -> None:
    folders = {path.parent for path in _TEST_FILES}

    assert [str(path) for path in folders if not (_PACKAGE / path).is_dir() and not (_PACKAGE / path.parent).is_dir()] == []


def test_a_test_that_is_named_like_a_module_lies_in_its_folder() -> None:
    places = defaultdict(set)
    for module in _MODULES:
        places[module.stem].add(module.parent)

    elsewhere = [
        str(path)
        for path in _TEST_FILES
        if (known := places.get(path.stem.removeprefix("test_"))) and not known & {path.parent, path.parent.parent}
    ]

    assert elsewhere == []


def test_every_theme_has_tests() -> None:
    assert {theme for theme in _THEMES if [*(_TESTS / theme).glob("test_*.py")]} == _THEMES
