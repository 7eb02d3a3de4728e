"""Names that a reader meets: each public class and type has one of its own, and no module is taken for a library's."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator

from tests.sources import FILES, PACKAGE, nodes, tree


def _types(module: ast.Module) -> Iterator[str]:
    """Yield the public classes of a module and its aliases of types, which are assigned and written like classes."""
    for node in module.body:
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
    found = [node for path in FILES for node in nodes(path)]
    imported = {alias.name for node in found if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in found if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in imported} - {"comfy_runner"} | set(sys.stdlib_module_names)


def test_no_two_public_types_have_one_name() -> None:
    places = defaultdict(set)
    for path in FILES:
        for name in _types(tree(path)):
            places[name].add(path.relative_to(PACKAGE).as_posix())

    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}


def test_no_module_is_named_like_a_library() -> None:
    libraries = _libraries()
    modules = [path.relative_to(PACKAGE) for path in FILES]
    named = {str(path) for path in modules if not libraries.isdisjoint(path.with_suffix("").parts)}

    assert {"json", "requests", "yaml"} < libraries
    assert named == set()
