"""``comfy-runner servers``: the state of servers, a block each, or as JSON (docs/servers.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from comfy_runner.cli.formatting import wrapped
from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.options import NamedServers, json_option, servers_option
from comfy_runner.cli.output import one_line, print_json, print_lines
from comfy_runner.errors import LocalError, ServerError
from comfy_runner.wording import GIB, counted

if TYPE_CHECKING:
    from comfy_runner.engine.info import Device, EngineInfo, Queued
    from comfy_runner.engine.server_status import Standing

VERSION = 1
_MOST_NAMED = 6
_LABEL = 11
_MOST_BYTES = 1 << 70  # more is no memory, and may be more than a float can be
_UNKNOWN = "unknown"
_ABOUT = ("comfyui", "generation", "python", "pytorch", "devices", "cache")


@click.command()
@servers_option("Only this one: a URL, a name from the config file, or local; repeatable.")
@click.option("--all", "everything", is_flag=True, help=f"Show all models, not {_MOST_NAMED} at most.")
@json_option("Print one JSON object (docs/servers.md).")
def servers(*, servers: NamedServers, everything: bool, as_json: bool) -> int:
    """Show the state of servers: version, devices, queue, cache, models, latency.

    Without --server, all servers of the config file are asked, or the default one. That takes ten seconds at most, and local is
    neither set up nor started. The exit code is 3 if one does not answer.
    """
    from comfy_runner.engine.registry import refuse_bad_addresses
    from comfy_runner.engine.server_status import ask_all

    chosen = servers.fleet() if servers.names else servers.known()
    if servers.names:
        # What was typed wrongly is a mistake; what is wrong in the config file about one server is shown beside the others.
        refuse_bad_addresses(chosen, servers.config)
    found = ask_all(chosen, servers.config)
    if as_json:
        print_json(servers_record(found))
    else:
        print_lines(describe(found, everything=everything))
    return ServerError.exit_code if any(server.error for server in found) else 0


def describe(found: Sequence[Standing], *, everything: bool = False) -> Iterator[str]:
    """Yield the state of servers: a block of lines each, with empty lines between them.

    Args:
        found: The servers.
        everything: Whether all models are named.
    """
    for number, server in enumerate(found):
        if number:
            yield ""
        yield "  ".join(one_line(part) for part in (server.name, server.url) if part)
        for label, text in _rows(server):
            yield from _row(label, text)
        yield from _models("checkpoint", server.checkpoints, everything=everything)
        yield from _models("diffusion model", server.diffusion_models, everything=everything)


def servers_record(found: Sequence[Standing]) -> dict[str, Any]:
    """Return the state of servers as a JSON object."""
    return {"v": VERSION, "servers": [_record(server) for server in found]}


def _rows(server: Standing) -> Iterator[tuple[str, str]]:
    about = server.about
    yield "state", _state(server)
    if server.error is not None and server.error.problems[0].hint:
        yield "hint", server.error.problems[0].hint
    if about is not None:
        yield "version", _version(about)
        if about.generation != _UNKNOWN:
            yield "like", about.generation
        for device in about.devices:
            yield "device", _device(device)
        yield "cache", about.cache
    if server.ours is not None and server.others is not None:
        yield "queue", f"ours: {_queued(server.ours)}; others: {_queued(server.others)}"


def _state(server: Standing) -> str:
    answers = "reachable" + (f", answers in {_seconds(server.latency_seconds)}" if server.latency_seconds is not None else "")
    if server.error is None:
        return answers
    problem = server.error.problems[0]
    if isinstance(server.error, LocalError):
        return problem.what
    # The address is told already; which of its routes it is about is not.
    route = problem.where.removeprefix(server.url)
    what = f"{problem.what} ({route})" if route.startswith("/") and route != problem.where else problem.what
    return f"{answers}, but {what}" if server.about is not None else f"unreachable: {what}"


def _version(about: EngineInfo) -> str:
    python = about.python.partition(" ")[0]  # what it was built with follows
    comfyui = "ComfyUI of an unknown version" if about.comfyui == _UNKNOWN else f"ComfyUI {about.comfyui}"
    others = [f"{what} {version}" for what, version in (("Python", python), ("PyTorch", about.pytorch)) if version != _UNKNOWN]
    return ", ".join([comfyui, *others])


def _device(device: Device) -> str:
    return f"{device.name}, {_gib(device.vram_free)} of {_gib(device.vram_total)} GiB free" if device.vram_total else device.name


def _gib(count: int) -> str:
    return f"{min(count, _MOST_BYTES) / GIB:.1f}"


def _queued(queued: Queued) -> str:
    parts = [f"{count} {what}" for count, what in ((queued.running, "running"), (queued.pending, "pending")) if count]
    return ", ".join(parts) or "none"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{max(1, round(seconds * 1000))} ms"


def _row(label: str, text: str) -> list[str]:
    return wrapped(f"  {label}".ljust(_LABEL) + one_line(text), _LABEL)


def _models(what: str, names: Sequence[str], *, everything: bool) -> Iterator[str]:
    if not names:
        return
    yield from _row("models", counted(len(names), what))
    shown = names if everything else names[:_MOST_NAMED]
    for name in shown:
        yield " " * _LABEL + f"  {one_line(name)}"
    if len(shown) < len(names):
        yield " " * _LABEL + f"  and {len(names) - len(shown)} more (--all shows them)"


def _record(server: Standing) -> dict[str, Any]:
    found = to_json(server)
    about = found.pop("about") or {"devices": []}
    return {**found, "reachable": server.about is not None, **{name: about.get(name) for name in _ABOUT}}
