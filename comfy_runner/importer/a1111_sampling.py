"""The sampler and the schedule of each pass that a text of the web UI says, by ComfyUI's names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from comfy_runner.errors import UsageError
from comfy_runner.importer.a1111_text import Parameters
from comfy_runner.recipe.sampler_names import (
    AUTOMATIC,
    COMFYUI_SAMPLERS,
    COMFYUI_SCHEDULERS,
    SamplerName,
    automatic_scheduler,
    no_sampler,
    no_scheduler,
    sampler_of,
    scheduler_of,
)
from comfy_runner.yaml_loader import got

_SCHEDULE_KEYS = ("Schedule type", "Scheduler")
_SAME = "use same"
_UNKNOWN = ("undefined", "unknown", "default")
# What a node pack of a server may call a sampler.
_PLAIN_NAME = re.compile(r"[a-z0-9_]{1,60}")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a pass samples.

    Attributes:
        name: ComfyUI's name of the sampler; empty for that of the first pass.
        scheduler: ComfyUI's name of the scheduler.
        said: The sampler as the text says it; empty where it is the same word.
        schedule_said: The schedule as the text says it, likewise.
    """

    name: str
    scheduler: str
    said: str
    schedule_said: str


def first_sampling(text: Parameters) -> Sampling | None:
    """Return how the first pass samples; None where the text does not say it.

    Raises:
        UsageError: ComfyUI has no counterpart of the sampler or the schedule.
    """
    sampler = _said(text.get("Sampler"))
    return _sampling(sampler, _said(text.get(*_SCHEDULE_KEYS)), "Sampler", "Schedule type") if sampler else None


def second_sampling(text: Parameters) -> Sampling | None:
    """Return how the second pass samples; None where it is as in the first pass.

    Raises:
        UsageError: ComfyUI has no counterpart of the sampler or the schedule.
    """
    sampler, schedule = _other(text.get("Hires sampler")), _other(text.get("Hires schedule type", "Hires scheduler"))
    if not sampler and not schedule:
        return None
    first = _said(text.get("Sampler"))
    if not sampler and not first:
        return Sampling("", _scheduler(schedule, "Hires schedule type"), "", schedule)
    found = _sampling(sampler or first, schedule or _said(text.get(*_SCHEDULE_KEYS)), "Hires sampler", "Hires schedule type")
    return found if sampler else Sampling("", found.scheduler, "", found.schedule_said)


def _other(value: str) -> str:
    return "" if value.casefold().startswith(_SAME) else _said(value)


def _said(value: str) -> str:
    """Return what a text says; empty for a site's word for what it does not know."""
    return "" if value.casefold() in _UNKNOWN else value


def _sampling(sampler: str, schedule: str, key: str, schedule_key: str) -> Sampling:
    found = _known(sampler, key)
    # Before version 1.9 there were no types; a sampler without a suffix had the normal schedule.
    said = f"{schedule_key}: {schedule}" if schedule else ""
    if not schedule:
        scheduler = found.scheduler or "normal"
    elif schedule.casefold() == AUTOMATIC.casefold():
        scheduler = found.scheduler or automatic_scheduler(found.name)
    else:
        scheduler, said = _scheduler(schedule, schedule_key), "" if schedule in COMFYUI_SCHEDULERS else schedule
    return Sampling(found.name, scheduler, sampler if sampler != found.name else "", said)


def _known(sampler: str, key: str) -> SamplerName:
    """Return what the text calls a sampler: by the web UI's name, by ComfyUI's, or by ComfyUI's with the scheduler behind it."""
    if sampler in COMFYUI_SAMPLERS:
        return SamplerName(sampler)
    if (found := sampler_of(sampler)) is not None:
        return found
    for scheduler in COMFYUI_SCHEDULERS:
        name = sampler.removesuffix(f"_{scheduler}")
        if name != sampler and name in COMFYUI_SAMPLERS:
            return SamplerName(name, scheduler)
    hint = no_sampler(sampler) or no_sampler(sampler.title()) or no_sampler(sampler.upper())
    if not hint and _PLAIN_NAME.fullmatch(sampler):
        return SamplerName(sampler)
    hint = f"{hint}; write it in the text instead" if hint else "write another sampler in the text, such as `Sampler: Euler a`"
    raise UsageError(f"ComfyUI has no such sampler (got {got(sampler)})", where=key, hint=hint)


def _scheduler(schedule: str, key: str) -> str:
    if schedule in COMFYUI_SCHEDULERS:
        return schedule
    if found := scheduler_of(schedule):
        return found
    hint = no_scheduler(schedule) or no_scheduler(schedule.title())
    if not hint and _PLAIN_NAME.fullmatch(schedule):
        return schedule
    hint = f"{hint}; write it in the text instead" if hint else "write another in the text, such as `Schedule type: Karras`"
    raise UsageError(f"ComfyUI has no such scheduler (got {got(schedule)})", where=key, hint=hint)
