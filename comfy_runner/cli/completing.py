"""What a shell offers after Tab: recipes, templates, run folders and fields.

This runs at every press of the key, so it imports nothing that takes long, and reads names of files alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from comfy_runner.shipped import shipped

FIELDS: Final = (
    *("name", "template", "checkpoint", "vae", "clip_skip", "loras", "prompt", "negative_prompt", "seed"),
    *("size.width", "size.height", "size.aspect", "size.megapixels", "size.preset"),
    *("batch_size", "sampler.name", "sampler.scheduler", "sampler.steps", "sampler.cfg"),
    *("upscale.factor", "upscale.size.width", "upscale.size.height", "upscale.method", "upscale.denoise", "upscale.steps_mode"),
    *("upscale.seed", "upscale.sampler.name", "upscale.sampler.scheduler", "upscale.sampler.steps", "upscale.sampler.cfg"),
    *("vae_decode", "output.format", "output.quality", "output.lossless", "output.metadata"),
    *("params.", "vars.", "alternatives", "wildcards"),
)
"""The fields that ``--set`` and ``--sweep`` take; a test compares them with the schema, which takes too long to import here."""

_LEDGER = "ledger.sqlite"  # as `store.ledger` has it
_MOST = 500  # folders and files that are looked at
_TEMPLATE = ".json.j2"

Items = list[CompletionItem[str]]


def complete_recipes(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return shipped recipes and the YAML files of the current folder; a path is left to the shell."""
    names = [path.stem.replace("_", "-") for path in sorted(shipped("recipes").glob("*.yaml"))]
    files = [path.name for path in _found(Path(), "*.yaml", "*.yml")]
    return _items([*files, *names], begun, otherwise="file")


def complete_templates(context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return the templates that are shipped, and those of the folders that the command line names."""
    folders = [shipped("templates"), Path("templates"), *(context.params.get("templates") or ())]
    names = {path.name.removesuffix(_TEMPLATE) for folder in folders for path in _found(Path(folder), f"*{_TEMPLATE}")}
    return _items(sorted(names), begun, otherwise="file")


def complete_fields(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """Return fields, each with the sign after which its value comes."""
    return [CompletionItem(item.value if item.value.endswith(".") else f"{item.value}=") for item in _items(FIELDS, begun)]


def complete_runs(begun: str) -> Items:
    """Return the run folders below the current folder and below ``runs``; others are left to the shell."""
    patterns = (f"runs/*/{_LEDGER}", f"runs/*/*/{_LEDGER}", f"*/{_LEDGER}")
    return _items([path.parent.as_posix() for path in _found(Path(), *patterns)], begun, otherwise="dir")


def _found(folder: Path, *patterns: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):  # a folder that cannot be read has nothing to offer
        yield from sorted(islice((path for pattern in patterns for path in folder.glob(pattern)), _MOST))


def _items(values: Iterable[str], begun: str, *, otherwise: str = "") -> Items:
    # A line break would be two offers, and what steers a terminal none.
    found = [CompletionItem(value) for value in dict.fromkeys(values) if value.startswith(begun) and value.isprintable()]
    return found or ([CompletionItem(begun, type=otherwise)] if otherwise else [])
