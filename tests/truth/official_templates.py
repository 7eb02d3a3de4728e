"""The official templates of ComfyUI's bundle: workflows as its page saves them (MIT), in wheels beside the engine's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from comfy_runner.atomic_files import write_atomically

BUNDLE = "comfyui-workflow-templates"
FRONT_END = "comfyui-frontend-package"

# Types of the page itself, which no server lists.
PAGE_TYPES = frozenset({"Note", "MarkdownNote", "PrimitiveNode", "Reroute"})


class TemplatesMissingError(Exception):
    """The wheels with the templates cannot be downloaded."""


def installed(venv: Path, name: str) -> Distribution:
    """Return a package of a virtual environment.

    Raises:
        LookupError: It is not there.
    """
    found = next(iter(distributions(name=name, path=[str(path) for path in venv.glob("lib/python3*/site-packages")])), None)
    if found is None:
        raise LookupError(f"{venv} has no {name}")
    return found


def official_templates(venv: Path, folder: Path) -> dict[str, str]:
    """Return the text of each template by its name, downloaded on the first call.

    Args:
        venv: The engine's virtual environment, whose bundle says which wheels belong to it.
        folder: Where the templates are kept.

    Raises:
        TemplatesMissingError: They are not there and cannot be downloaded.
    """
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        requirements = [*_media_wheels(installed(venv, BUNDLE))]
        with tempfile.TemporaryDirectory() as wheels:
            _download(requirements, Path(wheels))
            for name, text in _workflows(Path(wheels)):
                write_atomically(folder / f"{name}.json", text.encode("utf-8"))
        write_atomically(folder / "complete", "\n".join(requirements).encode("utf-8"))
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}


def types_of(workflow: Mapping[str, Any]) -> set[str]:
    """Return the node types of a workflow and of its subgraphs, without the subgraphs themselves."""
    subgraphs = workflow.get("definitions", {}).get("subgraphs", [])
    types = {node["type"] for level in (workflow, *subgraphs) for node in level["nodes"]}
    return types - {subgraph["id"] for subgraph in subgraphs}


def runnable(templates: Mapping[str, str], classes: Collection[str]) -> dict[str, str]:
    """Return the templates all of whose nodes a server with these classes knows."""
    known = PAGE_TYPES.union(classes)
    return {name: text for name, text in templates.items() if types_of(json.loads(text)) <= known}


def _media_wheels(bundle: Distribution) -> Iterator[str]:
    for requirement in bundle.requires or ():
        if match := re.fullmatch(rf"({BUNDLE}-(?:media|json)[a-z0-9-]*==[0-9.]+)", requirement):
            yield match[1]


def _download(requirements: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    process = subprocess.run([*command, "--dest", str(folder), *requirements], capture_output=True, text=True, check=False)
    if process.returncode:
        raise TemplatesMissingError(f"the official templates cannot be downloaded: {process.stderr.strip()[-500:]}")


def _workflows(wheels: Path) -> Iterator[tuple[str, str]]:
    """Yield name and text of each workflow; the wheels hold lists and translations of them, too."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.namelist():
                if not entry.endswith(".json"):
                    continue
                text = archive.read(entry).decode("utf-8-sig")
                parsed = json.loads(text)
                if isinstance(parsed, dict) and isinstance(parsed.get("nodes"), list):
                    yield Path(entry).stem, text
