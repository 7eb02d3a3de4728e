"""One shard of a run, such as the third of eight: given as ``3/8``, or by the system that started the eight processes.

This module does not know which jobs a shard has (`planning.shards` does).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from comfy_runner.errors import UsageError
from comfy_runner.yaml_loader import got

OPTION = "--shard"
"""What users call it."""

_AUTO = "auto"
_FORM = f"write {OPTION} 3/8 for the third of eight, or {OPTION} {_AUTO}"
_MOST = 100_000
_WRITTEN = re.compile(rf"(?P<index>{_AUTO}|[0-9]{{1,18}}(?=/))(?:/(?P<count>[0-9]{{1,18}}))?")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a run that a separate process renders.

    Attributes:
        index: Its number, from 1.
        count: The number of shards.
    """

    index: int
    count: int

    def __str__(self) -> str:
        """Return it as it is given, such as ``3/8``."""
        return f"{self.index}/{self.count}"

    @property
    def folder(self) -> str:
        """The name of its run folder, such as ``shard-3-of-8``; names sort as their numbers do."""
        return f"shard-{self.index:0{len(str(self.count))}}-of-{self.count}"


def find_shard(text: str, environ: Mapping[str, str]) -> Shard:
    """Return the shard that a user means.

    Args:
        text: ``3/8``; ``auto`` for the shard that Slurm, Kubernetes, GitLab or SkyPilot assigns to this process; ``auto/8`` if
            only the index has to be found.
        environ: The environment, by name.

    Raises:
        UsageError: The text is not a shard, or the environment names none, or two different ones.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise UsageError(f"must be a number and a count, such as 3/8 (got {got(text)})", where=OPTION, hint=_FORM)
    index, count = written["index"], written["count"]
    wanted = int(count) if count else None
    if wanted is not None and not 1 <= wanted <= _MOST:
        raise UsageError(f"there are from 1 to {_MOST} shards (got {text})", where=OPTION, hint=_FORM)
    if index == _AUTO:
        return _told(environ, wanted)
    if wanted is None or not 1 <= int(index) <= wanted:
        raise UsageError(f"the shards are 1/{count} to {count}/{count} (got {text})", where=OPTION)
    return Shard(int(index), wanted)


@dataclass(frozen=True, slots=True)
class _System:
    """A system that starts several processes, and the environment variables by which each knows which one it is.

    Attributes:
        name: What it is called.
        index: The variable with the number of the process.
        count: That with how many there are.
        first: The smallest number, or the variable that has it.
        step: The variable with the distance of two numbers; empty where that is 1.
    """

    name: str
    index: str
    count: str
    first: int | str = 0
    step: str = ""


_SYSTEMS = (
    _System("Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
    # Kubernetes itself sets no count; this is what people call it.
    _System("Kubernetes", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    _System("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", first=1),
    _System("SkyPilot", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES"),
)


def _told(environ: Mapping[str, str], wanted: int | None) -> Shard:
    found = {system: _shard_of(system, environ, wanted) for system in _SYSTEMS if system.index in environ}
    if not found:
        names = ", ".join(system.index for system in _SYSTEMS)
        raise UsageError(f"none of {names} is set", where=OPTION, hint="name the shard: --shard 3/8")
    if len(set(found.values())) > 1:
        told = " and ".join(f"{system.name} {shard} ({system.index})" for system, shard in found.items())
        raise UsageError(f"the environment gives different ones: {told}", where=OPTION, hint="name the shard: --shard 3/8")
    return next(iter(found.values()))


def _shard_of(system: _System, environ: Mapping[str, str], wanted: int | None) -> Shard:
    number = _number(system, environ, system.index)
    if system.count not in environ and wanted is None:
        what = f"{system.name} says which one this is ({system.index}={number}), but {system.count} is not set"
        raise UsageError(what, where=OPTION, hint=f"give the count: {OPTION} {_AUTO}/8")
    count = _number(system, environ, system.count) if system.count in environ else wanted or 0
    first = system.first if isinstance(system.first, int) else _number(system, environ, system.first)
    step = max(1, _number(system, environ, system.step)) if system.step in environ else 1
    which = f"name the shard: {OPTION} 3/{wanted or 8}"
    if wanted not in (None, count):
        raise UsageError(f"{system.name} has started {count} ({system.count}), not {wanted}", where=OPTION, hint=which)
    if system.step and count == 1:
        # A task that is submitted again alone looks so; it would render all jobs.
        raise UsageError(f"{system.name}'s array has a single task, which may be any of several", where=OPTION, hint=which)
    index, rest = divmod(number - first, step)
    if rest or not 0 <= index < min(count, _MOST):
        every = f" by {step}" if step > 1 else ""
        what = f"{system.name} does not number {count} processes from {first}{every} (got {system.index}={number})"
        raise UsageError(what, where=OPTION, hint=which)
    return Shard(index + 1, count)


def _number(system: _System, environ: Mapping[str, str], name: str) -> int:
    if name not in environ:
        what = f"{system.name} sets {system.index}, but {name} is not set"
        raise UsageError(what, where=OPTION, hint="name the shard: --shard 3/8")
    if not _NUMBER.fullmatch(environ[name]):
        raise UsageError(f"must be a whole number (got {got(environ[name])})", where=name, hint="name the shard: --shard 3/8")
    return int(environ[name])
