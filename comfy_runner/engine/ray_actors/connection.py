"""Ray itself: a cluster that is there already, or one on this machine alone that lives as long as the run; and actors on it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from comfy_runner.engine.local.child_process import exists
from comfy_runner.errors import ServerError, Unreachable, UsageError

EXTRA: Final = 'pip install "comfy-runner[ray]"'

_LOOPBACK: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""The variable by which Ray chooses 127.0.0.1 rather than the machine's address, at its import; it heeds no other wish for that."""

_FOLDER: Final = "comfy-ray-"
_OBJECTS_BYTES: Final = 512 * 1024 * 1024
_THREADS: Final = 32


def require_ray() -> None:
    """Make sure that Ray is installed; it is not imported yet.

    Raises:
        UsageError: It is not.
    """
    try:
        is_there = importlib.util.find_spec("ray") is not None
    except ValueError:  # what is in its place is no module
        is_there = False
    if not is_there:
        raise UsageError("runs on Ray need the package ray", where="--ray", hint=EXTRA)


class RayConnection:
    """A connection of this process to Ray.

    Args:
        address: ``host:port`` or ``auto``; empty for a Ray of this machine alone, which ends with the connection.

    Raises:
        UsageError: Ray is not installed, or there can be no such address.
        ServerError: Nobody answers there, or Ray cannot be started.
    """

    def __init__(self, address: str) -> None:
        self.is_local = not address
        self._folder = ""
        require_ray()
        if self.is_local:
            # Before the import. The token stays in the memory of this user's processes, rather than in a file of the home folder.
            os.environ.setdefault(_LOOPBACK, "0")
            if "RAY_AUTH_MODE" not in os.environ:
                os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # What Ray says of its nodes would go to stdout, which is for results; engines tell what becomes of actors.
        os.environ |= {"RAY_DEDUP_LOGS": "1", "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*"}
        import ray

        self._is_ours = not ray.is_initialized()
        if not self._is_ours:
            return
        given: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.CRITICAL}
        if self.is_local:
            _remove_leftovers()
            self._folder = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-")
            given |= {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": _OBJECTS_BYTES,
                "_temp_dir": self._folder,
            }
        try:
            with _own_signals():
                ray.init(**given)
        except ValueError as error:
            self.close()
            raise UsageError(f"not a Ray address ({error})", where="--ray", hint="host:6379 or auto") from error
        except (OSError, RuntimeError, ray.exceptions.RayError) as error:
            self.close()
            what = f"Ray cannot be started ({error})" if self.is_local else f"nothing answers like Ray ({error})"
            raise ServerError(what, where=address or "--ray") from error

    def room_for(self, resources: Mapping[str, float]) -> int:
        """Return how many actors that take so much Ray's nodes can have, whoever uses them now."""
        import ray

        rooms = [
            min(math.floor(node["Resources"].get(name, 0.0) / amount) for name, amount in resources.items() if amount)
            for node in ray.nodes()
            if node["Alive"]
        ]
        return sum(rooms)

    def has_gpus(self) -> bool:
        """Return whether any node has a GPU."""
        import ray

        return bool(ray.cluster_resources().get("GPU"))

    def make(self, kind: type, given: object, resources: Mapping[str, float]) -> ActorHandle:
        """Ask Ray for an actor, which it makes as soon as it has room.

        Args:
            kind: Its class.
            given: What that is made with.
            resources: What it takes.
        """
        import ray

        custom = {name: amount for name, amount in resources.items() if name not in ("CPU", "GPU", "memory")}
        options = {
            "num_cpus": resources.get("CPU", 0),
            "num_gpus": resources.get("GPU", 0),
            "memory": resources.get("memory"),
            "resources": custom,
            "max_concurrency": _THREADS,
            "max_restarts": 0,
        }
        return ActorHandle(ray.remote(kind).options(**options).remote(given))

    def close(self) -> None:
        """Leave Ray, and end one that was started here; once is enough."""
        import ray

        if self._is_ours:
            self._is_ours = False
            with _own_signals():
                ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class Gone(Unreachable):
    """An actor has ended, or its node has."""


class ActorHandle:
    """An actor, as this process calls it.

    Args:
        actor: What Ray calls it by.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin(self, method: str, *given: Any, **named: Any) -> Any:
        """Call a method, and return at once what `result` gives the answer for.

        Raises:
            Gone: There is no actor any more.
        """
        with _gone():
            return getattr(self._actor, method).remote(*given, **named)

    def call(self, method: str, *given: Any, **named: Any) -> Any:
        """Return what a method returns, however long that takes.

        Raises:
            Gone: There is no actor any more, or it cannot be reached.
        """
        return result(self.begin(method, *given, **named))

    def call_within(self, seconds: float, method: str, *given: Any) -> Any:
        """Return what a method returns.

        Raises:
            Gone: There is no actor any more, or it cannot be reached, or takes longer than so many seconds.
        """
        return result(self.begin(method, *given), timeout=seconds)

    def kill(self) -> None:
        """End the actor, whatever it does."""
        import ray

        with contextlib.suppress(Exception):  # it is gone already, or Ray is
            ray.kill(self._actor)


def is_there(answer: Any) -> bool:
    """Return whether an answer of `ActorHandle.begin` has come, be it that there is no actor any more."""
    import ray

    return bool(ray.wait([answer], timeout=0)[0])


def result(answer: Any, *, timeout: float | None = None) -> Any:
    """Return what an answer of `ActorHandle.begin` is, when it has come.

    Args:
        answer: The answer.
        timeout: Seconds to wait; None for no limit.

    Raises:
        Gone: There is no actor any more, or it cannot be reached, or does not answer in that time.
    """
    import ray

    with _gone():
        return ray.get(answer, timeout=timeout)


def placed_here() -> tuple[str, tuple[str, ...]]:
    """Return the name of the node that this actor is on, and the ids of the GPUs that are its own."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    node = next(each for each in ray.nodes() if each["NodeID"] == here)
    given = str(node.get("NodeName") or "")
    named = given if given != node["NodeManagerAddress"] else ""
    return named or str(node["NodeManagerHostname"]), tuple(map(str, ray.get_gpu_ids()))


def _remove_leftovers() -> None:
    """Remove what the Ray of a run that was killed has left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        owner = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if owner.isdecimal() and not exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError:
        raise  # a fault of ours
    except ray.exceptions.RayError as error:
        raise Gone(f"its actor has ended ({str(error).splitlines()[0]})") from error
    except ConnectionError as error:  # Ray's client
        raise Gone(f"Ray does not answer ({error})") from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what Ctrl-C and SIGTERM do, which Ray takes for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
