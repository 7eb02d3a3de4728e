"""docs/architecture.md against the tree: the files and folders that it names, its words, its order of imports.

``python -m tests.test_architecture`` writes the table of levels again.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import comfy_runner
from tests.sources import FILES, PACKAGE, nodes
from tests.test_imports import LEVELS

_ROOT = Path(__file__).parents[1]
_DOCUMENT = _ROOT / "docs" / "architecture.md"
_TEXT = _DOCUMENT.read_text(encoding="utf-8")
_TABLE = re.compile(r"(?<=\| level \| folders and modules \|\n\|---\|---\|\n).*?(?=\n\n)", flags=re.DOTALL)

_CODE = re.compile(r"`([^`\n]+)`")
_PATHS = sorted({code for code in _CODE.findall(_TEXT) if re.fullmatch(r"[\w./]+(\.py|\.j2|/)", code) and not code.startswith("/")})
# A model's network is called by the words of networks; it runs in the Python of the local ComfyUI.
_OTHER_TERMS = PACKAGE / "engine" / "local" / "tiny_models"
_MODULES = [path for path in FILES if not path.is_relative_to(_OTHER_TERMS)]


def _section(title: str) -> str:
    return _TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _glossary() -> list[list[str]]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in _section("Words").splitlines() if line.startswith("|")
    ]
    return rows[2:]


def _table() -> str:
    """Return the table of levels, highest first."""
    rows = []
    for level, rooms in reversed([*enumerate(LEVELS)]):
        names = sorted(room.replace(".", "/") + ("/" if (PACKAGE / room.replace(".", "/")).is_dir() else ".py") for room in rooms)
        rows.append(f"| {level} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(rows)


def test_what_is_named_is_there() -> None:
    assert len(_PATHS) > 100
    assert [path for path in _PATHS if not (PACKAGE / path).exists() and not (_ROOT / path).exists()] == []


def test_every_folder_of_the_package_is_named() -> None:
    folders = {f"{path.parent.relative_to(PACKAGE).as_posix()}/" for path in _MODULES if path.parent != PACKAGE}

    assert [folder for folder in sorted(folders) if folder not in _TEXT] == []


def test_the_levels_are_those_that_imports_are_held_to() -> None:
    found = _TABLE.search(_TEXT)

    assert found is not None
    assert found[0] == _table(), "write it again: python -m tests.test_architecture"


def test_each_word_is_used() -> None:
    everything = "\n".join(path.read_text(encoding="utf-8").lower().replace("_", " ") for path in _MODULES)
    words = [word for row in _glossary() for word in row[0].replace("`", "").split(", ")]

    assert len(words) > 40
    assert [word for word in words if word not in everything] == []


def _parts(name: str) -> set[str]:
    """Return the words of a name, and what each would be the plural of."""
    parts = {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return parts | {part.removesuffix("s") for part in parts}


def _names() -> dict[str, str]:
    """Return the names of modules and public classes, with the file of each; those that users know are kept for them."""
    found: dict[str, str] = {}
    for path in _MODULES:
        where = path.relative_to(PACKAGE).as_posix()
        classes = [node.name for node in nodes(path) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        found |= {name: where for name in (path.stem, *classes) if name not in comfy_runner.__all__}
    return found


def test_no_module_and_no_public_class_has_a_name_that_another_word_took_the_place_of() -> None:
    banned = {word for row in _glossary() for word in row[2].split(", ") if word}

    assert len(banned) > 15
    assert {name: where for name, where in _names().items() if _parts(name) & banned} == {}


def test_the_words_of_a_name_are_told_apart() -> None:
    assert _parts("StandingDoors") == {"standing", "door", "doors"}
    assert _parts("http_lanes") == {"http", "lane", "lanes"}
    assert not _parts("Weekends") & {"ends"}


def test_the_readme_leads_here() -> None:
    assert "(docs/architecture.md)" in (_ROOT / "README.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    _DOCUMENT.write_text(_TABLE.sub(lambda _: _table(), _TEXT), encoding="utf-8")
