"""How servers stand: each is asked what it is, what waits in its queue, which models it has and how quickly it answers.

All are asked at the same time, and none is waited for longer than some seconds. Nothing is changed: the managed local ComfyUI is
neither set up nor started. Whether a job fits a server is told by `planning.capabilities`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from comfy_runner.config import LOCAL, Config, ServerConfig
from comfy_runner.engine.info import EngineInfo, Queued
from comfy_runner.engine.interface import Engine
from comfy_runner.engine.registry import connect
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import ComfyRunnerError, Unreachable, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo

LIMIT = 10.0
"""Seconds after which a server is shown as it is known by then."""

_TIMEOUTS = RequestTimeouts(connect=4.0, read=5.0, answer=5.0)
_MEASURED = 3
# A server that takes this long for so little is slow enough that nobody wants to wait for better numbers.
_SLOW = 1.0
# The loader and its input that list the models of a folder.
_CHECKPOINTS = ("CheckpointLoaderSimple", "ckpt_name")
_DIFFUSION_MODELS = ("UNETLoader", "unet_name")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server stands. What was asked after something went wrong is not known.

    Attributes:
        url: Its address, without credentials; empty for a local ComfyUI that does not run.
        name: What the user calls it, or ``local``; empty for one that is given by its URL.
        about: What it says of itself; None where it does not answer.
        error: What went wrong; None where it has answered everything.
        latency_seconds: How long it takes to answer over a connection that is open already; None where not known.
        ours: The prompts of comfy_runner in its queue, whoever's; None where not known.
        others: All other prompts, likewise.
        checkpoints: Its checkpoints, as it names them.
        diffusion_models: Its models that come without text encoder and VAE, likewise.
    """

    url: str
    name: str = ""
    about: EngineInfo | None = None
    error: ComfyRunnerError | None = None
    latency_seconds: float | None = None
    ours: Queued | None = None
    others: Queued | None = None
    checkpoints: tuple[str, ...] = ()
    diffusion_models: tuple[str, ...] = ()


def ask_all(
    servers: Sequence[ServerConfig], config: Config, *, timeouts: RequestTimeouts = _TIMEOUTS, limit: float = LIMIT
) -> tuple[Standing, ...]:
    """Ask servers how they stand, all at the same time. One that cannot be asked has its error in its standing.

    Args:
        servers: The servers; ``local`` is only looked at.
        config: Settings.
        timeouts: How long to wait for each answer.
        limit: How long to wait for all answers of all servers, in seconds.

    Returns:
        The standings, in the order of the servers.
    """
    standings, faults = [_unasked(server, limit) for server in servers], list[Exception]()

    def ask(number: int) -> None:
        def know(**facts: Any) -> None:
            standings[number] = replace(standings[number], **facts)

        try:
            _ask(connect(servers[number], config, start=False, requests=timeouts), know)
        except ComfyRunnerError as error:
            know(error=error)
        except Exception as fault:
            # Ours, and to be seen: it goes on in the thread that has asked for this.
            faults.append(fault)

    # A thread that still waits for somebody keeps the program from nothing.
    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(servers))]
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for fault in faults:
        raise fault
    return tuple(standings)


def model_names(ask: Callable[[str], ObjectInfo], loader: str, input_name: str) -> tuple[str, ...]:
    """Return the models that an input of a loader can have, by what an engine says of it; none where it does not say.

    Args:
        ask: Asks the engine about a node class.
        loader: The class.
        input_name: The input.
    """
    try:
        node = ask(loader).get(loader)
    except WorkflowError:  # the server has no such class
        return ()
    found = node.inputs.get(input_name) if node else None
    return tuple(name for name in (found.options or () if found else ()) if isinstance(name, str))


def _unasked(server: ServerConfig, limit: float) -> Standing:
    late = Unreachable(f"did not answer everything within {limit:g} seconds", where=server.place)
    is_local = server.url == LOCAL
    return Standing("" if is_local else server.place, server.name or (LOCAL if is_local else ""), error=late)


def _ask(engine: Engine, know: Callable[..., None]) -> None:
    know(url=engine.url)
    know(about=engine.info())
    know(latency_seconds=_latency(engine.info))
    queue = engine.queue()
    know(ours=queue.ours, others=queue.others)
    know(checkpoints=model_names(engine.object_info, *_CHECKPOINTS))
    know(diffusion_models=model_names(engine.object_info, *_DIFFUSION_MODELS), error=None)


def _latency(ask: Callable[[], object]) -> float:
    times: list[float] = []
    while len(times) < _MEASURED and sum(times) <= _SLOW:
        before = time.perf_counter()
        ask()
        times.append(time.perf_counter() - before)
    return median(times)
