"""``--ray`` and the options beside it: from what the user says of Ray to `RayOptions`, on top of the config file's section."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from comfy_runner.cli.options import NamedServers
from comfy_runner.errors import UsageError

if TYPE_CHECKING:
    from comfy_runner.ray_options import RayOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])

_ADDRESS = re.compile(r"|auto|[^\s/:]+:[0-9]+|\[[0-9a-fA-F:]+\]:[0-9]+")
_HERE = ""
_COUNT = click.IntRange(min=1)


def ray_options(command: _Command) -> _Command:
    """Add ``--ray`` and what goes with it; the command gets them as ``ray``, a `RayOptions`, None without ``--ray``."""

    @functools.wraps(command)
    def call(*, servers: NamedServers, **given: Any) -> Any:
        said = {name: given.pop(f"ray_{name}") for name in ("actors", "min", "max", "resources", "command")}
        return command(servers=servers, ray=_options(given.pop("ray"), servers, said), **given)

    found = click.option(
        "--ray-command", metavar="COMMAND", help="A command that starts a ComfyUI on port {port} (the local ComfyUI)."
    )(cast(_Command, call))
    found = click.option("--ray-resources", metavar="JSON", help="What an actor takes: '{\"GPU\": 1}'.")(found)
    found = click.option("--ray-max", type=_COUNT, metavar="N", help="At most this many actors (as many as there is room for).")(
        found
    )
    found = click.option("--ray-min", type=_COUNT, metavar="N", help="Begin when this many answer (1).")(found)
    found = click.option("--ray-actors", type=_COUNT, metavar="N", help="Short for --ray-min N --ray-max N.")(found)
    return click.option(
        "--ray",
        is_flag=False,
        flag_value=_HERE,
        default=None,
        metavar="[ADDRESS]",
        help="Render on Ray actors (docs/ray.md), each with a ComfyUI; without an address, Ray is started here.",
    )(found)


def _options(address: str | None, servers: NamedServers, said: dict[str, Any]) -> RayOptions | None:
    given = {name: value for name, value in said.items() if value is not None}
    if address is None:
        if given:
            raise UsageError("has no effect without --ray", where=f"--ray-{next(iter(given))}")
        return None
    if not _ADDRESS.fullmatch(address):
        hint = "host:6379, auto, or nothing; a recipe goes before --ray"
        raise UsageError(f"not a Ray address (got {address})", where="--ray", hint=hint)
    if (actors := given.pop("actors", None)) is not None:
        if {"min", "max"} & given.keys():
            raise UsageError("cannot be used with --ray-min and --ray-max", where="--ray-actors")
        given |= {"min": actors, "max": actors}
    if "resources" in given:
        given["resources"] = _resources(given["resources"])
    known = servers.config.ray
    if address or not known.address:
        given["address"] = address
    return known.changed(**given)


def _resources(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"not JSON (got {text})", where="--ray-resources", hint="'{\"GPU\": 1}'") from error
