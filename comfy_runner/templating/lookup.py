"""Template files: how they are found, and what they say of themselves.

Does not render them (`compiled`), and does not know which recipe fields exist.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import meta, nodes

from comfy_runner.errors import Note, TemplateError
from comfy_runner.templating.environment import environment, failure
from comfy_runner.templating.metadata import Header, parse_header
from comfy_runner.text_files import is_file, read, shown
from comfy_runner.wording import did_you_mean

SUFFIX = ".json.j2"
ANYTHING = "*"
"""Stands for all values among those that a template uses."""

_HEADER = re.compile(r"\A\s*\{#-?(.*?)-?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A template file.

    Attributes:
        name: Its name in a recipe.
        path: The file.
        header: What it says of itself.
        sha256: Of the file's text, hex.
        uses: The values that appear in it, dotted: ``checkpoint``, ``upscale.denoise``, or ``sampler`` where it is used as a whole;
            `ANYTHING` where another file sees all values.
        notes: What the user should know of the way it is written.
    """

    name: str
    path: Path
    header: Header
    sha256: str
    uses: frozenset[str]
    notes: tuple[Note, ...] = ()


def find_template(name: str, folders: Sequence[Path], *, where: str = "") -> Template:
    """Return the template of this name from the first folder that has it.

    Raises:
        TemplateError: No folder has it, or the file cannot be read or is not a template.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise TemplateError(f"not the name of a template (got {name!r})", where=where, hint="letters, digits, _ - .")
    for folder in folders:
        path = folder / (name + SUFFIX)
        if is_file(path):
            return _read(name, path)
    names = template_names(folders)
    hint = did_you_mean(name, names) if names else f"a template is a file NAME{SUFFIX}, but that folder has none"
    raise TemplateError(f"no template of this name (got {name})", where=where, hint=hint)


def template_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of all templates in these folders."""
    names: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):  # a name that no folder can have
            names.update(path.name.removesuffix(SUFFIX) for path in folder.glob("*" + SUFFIX))
    return sorted(names)


def _read(name: str, path: Path) -> Template:
    source = read(path, error=TemplateError)
    try:
        uses = _used(source)
    except Exception as error:  # Jinja computes constant expressions, which can raise anything
        raise failure(error, path) from error
    found, header = _HEADER.match(source), Header()
    if found:
        above = "\n" * source.count("\n", 0, found.start(1))  # so that its lines count as those of the file
        header = parse_header(above + found.group(1), name=shown(path))
    sha256 = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return Template(name, path, header, sha256, uses, header.notes)


@lru_cache(maxsize=256)
def _used(source: str) -> frozenset[str]:
    """Return the values that a template uses, dotted."""
    tree = environment([]).parse(source)
    free = meta.find_undeclared_variables(tree)
    found: set[str] = set()
    inner: set[int] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Name)):
        if id(node) in inner:
            continue
        steps: list[str] = []
        here: nodes.Node = node
        while isinstance(here, nodes.Getattr):
            steps.insert(0, here.attr)
            here = here.node
            inner.add(id(here))
        if isinstance(here, nodes.Name) and here.name in free:
            found.add(".".join((here.name, *steps)))
    if any(getattr(node, "with_context", False) for node in tree.find_all(nodes.Stmt)):  # of an import or an include
        found.add(ANYTHING)
    return frozenset(found)
