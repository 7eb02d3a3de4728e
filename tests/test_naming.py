"""Names that a reader meets: each public class and type has one of its own, and no module is taken for a library's."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1] / "comfy_runner"


@cache
def _trees() -> dict[str, ast.Module]:
    """Return all modules, by path."""
    paths = sorted(_PACKAGE.rglob("*.py"))
    return {path.relative_to(_PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _types(tree: ast.Module) -> Iterator[str]:
    """Yield the public classes of a module and its aliases of types, which are assigned and written like classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name) and not target.id.isupper()]
        else:
            continue
        yield from (name for name in names if name[0].isupper())


def _libraries() -> set[str]:
    """Return the names of the standard library's modules, and of the third parties that the package imports."""
    nodes = [node for tree in _trees().values() for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in imported} - {"comfy_runner"} | set(sys.stdlib_module_names)


def test_no_two_public_types_have_one_name() -> None:
    places = defaultdict(set)
    for path, tree in _trees().items():
        for name in _types(tree):
            places[name].add(path)

    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}


def test_no_module_is_named_like_a_library() -> None:
    libraries = _libraries()
    named = {path for path in _trees() if not libraries.isdisjoint(Path(path).with_suffix("").parts)}

    assert {"json", "requests", "yaml"} < libraries
    assert named == set()
