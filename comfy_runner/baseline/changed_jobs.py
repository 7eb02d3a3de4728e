"""What has changed since a baseline was made, in words: the job itself, or what it was rendered by."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from comfy_runner.baseline.folder import BaselineJob
from comfy_runner.store.about import about_sidecar
from comfy_runner.store.environment import NAMES, EnvironmentChange
from comfy_runner.store.sidecar import Sidecar
from comfy_runner.text_files import on_one_line
from comfy_runner.wording import counted

_MOST_TOLD = 4
_LONGEST_VALUE = 40
_OF_NO_PIXEL = ("name", "expect", "models", "output")
_NEW_NOISE = (0, 7, 0)
"""The ComfyUI from which on ancestral samplers draw other noise on the CPU."""


def changed_fields(expected: BaselineJob, sidecar: Sidecar) -> str:
    """Return in what a job is another one than it was, such as ``the job has changed: sampler.cfg 5.0 → 5.5``; empty if it is not.

    Args:
        expected: The job, as the baseline knows it.
        sidecar: What it is now.
    """
    if expected.content_hash == sidecar.content_hash:
        return ""
    about = about_sidecar(sidecar)
    before, now = (dict(_leaves(recipe)) for recipe in (expected.recipe, about.get("recipe", {})))
    before |= dict(_files(expected.inputs))
    now |= dict(_files(about.get("inputs", ())))
    different = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    told = [f"{name[:_LONGEST_VALUE]} {_value(before.get(name))} → {_value(now.get(name))}" for name in different[:_MOST_TOLD]]
    if len(different) > _MOST_TOLD:
        told.append(f"{len(different) - _MOST_TOLD} more")
    if not told and expected.template.get("sha256") != about.get("template", {}).get("sha256"):
        told = ["its template"]
    return on_one_line(f"the job has changed: {', '.join(told) or 'its graph'}")


def environment_notes(jobs: Iterable[tuple[EnvironmentChange, ...]]) -> Iterator[str]:
    """Yield notes on what runs are rendered by, and their baseline was not.

    Args:
        jobs: What has changed for each job.
    """
    counts = Counter(change for job in jobs for change in job)
    if not counts:
        return
    most = max(counts.values())
    told = [f"{change} ({counted(count, 'job')})" if count < most else str(change) for change, count in counts.items()]
    yield on_one_line(f"rendered by something other than the baseline ({counted(most, 'job')}): {', '.join(told)}")
    comfyui = ((_version(change.before), _version(change.now)) for change in counts if change.name == NAMES["comfyui"])
    if any(min(pair) < _NEW_NOISE <= max(pair) for pair in comfyui if all(pair)):
        yield (
            "since ComfyUI 0.7.0, ancestral samplers draw different noise on the CPU: "
            "their pictures differ, and need a new baseline"
        )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a recipe by dotted field, without those that change no pixel."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if name or key not in _OF_NO_PIXEL:
                yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{number}")
    else:
        yield name, value


def _files(inputs: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield what is in the files that a job reads."""
    yield from ((f"file of params.{each.get('param')}", each.get("sha256")) for each in inputs)


def _value(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return on_one_line(text, longest=_LONGEST_VALUE)


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", text)
    return tuple(map(int, found.groups())) if found else ()
