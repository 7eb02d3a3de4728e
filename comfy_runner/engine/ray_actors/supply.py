"""The actors of a run: asked of Ray, named by where Ray has put them, and asked for anew where they have ended.

Ray decides where an actor goes. One that has no room yet is what Ray's autoscaler sees as demand; it takes part when it is up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from comfy_runner._version import __version__
from comfy_runner.engine.interface import EngineSupply, NamedEngine
from comfy_runner.engine.local import LocalOptions
from comfy_runner.engine.local.recipe_models import ModelOrder
from comfy_runner.engine.ray_actors.actor import ComfyUIActor
from comfy_runner.engine.ray_actors.connection import ActorHandle, Gone, RayConnection, is_there, result
from comfy_runner.engine.ray_actors.engine import RayEngine
from comfy_runner.engine.ray_actors.messages import ActorPlace, Said, ServerSetup
from comfy_runner.errors import ComfyRunnerError, ServerError
from comfy_runner.ray_options import RayOptions
from comfy_runner.recipe.names import slug
from comfy_runner.wording import counted

_POLL_SECONDS: Final = 0.1
_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0


@dataclass(slots=True)
class _Coming:
    """An actor that is not an engine yet: it waits for room, then for its ComfyUI."""

    actor: ActorHandle
    answer: Any
    place: ActorPlace | None = None


class RayActors:
    """An `EngineSupply` of actors, and of the servers that are named beside them.

    Args:
        options: How Ray is used.
        local: The local ComfyUI of the settings, which actors start where no command is given.
        logs: The folder that keeps what their servers print.
        models: Gives the models of recipes that the local ComfyUI of each is to have, once the jobs are known; None for none.
        others: The servers that are named as well; asked for engines at the beginning only where there are any.
        with_others: Whether there are.
        say: Takes sentences about slow preparations; None for silence.
    """

    def __init__(
        self,
        options: RayOptions,
        local: LocalOptions,
        *,
        logs: Path,
        models: Callable[[], ModelOrder | None],
        others: EngineSupply,
        with_others: bool,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._options, self._logs, self._models = options, logs, models
        self._setup = ServerSetup(command=options.command, local=local, start_timeout=options.start_timeout)
        self._others, self._with_others, self._say = others, with_others, say or (lambda _sentence: None)
        self._connection: RayConnection | None = None
        self._resources: Mapping[str, float] = options.resources
        self._most = 0
        self._lock = threading.Condition()
        self._engines: dict[str, RayEngine] = {}
        self._coming: list[_Coming] = []
        self._new: list[NamedEngine] = []
        self._failure: ComfyRunnerError | None = None
        self._failures, self._failed_at = 0, 0.0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(self) -> list[NamedEngine]:
        """Return the engines of the first actors whose servers answer, at least as many as the options say.

        Raises:
            UsageError: Ray is not installed, or its address is none.
            ServerError: Ray cannot be reached, has no room, or a server does not start.
        """
        self._setup = replace(self._setup, models=self._models())
        found = list(self._others.connect()) if self._with_others else []
        self._say("connecting to Ray" if self._options.address else "starting Ray on this machine")
        connection = self._connection = RayConnection(self._options.address)
        least = self._options.min
        if not self._resources:
            self._resources = {"GPU": 1.0} if connection.has_gpus() else {"CPU": 1.0}
        room, takes = connection.room_for(self._resources), _told(self._resources)
        # On processors alone, a second ComfyUI takes from the first what it computes with.
        usual = room if self._resources.get("GPU") else least
        self._most = self._options.max or max(least, usual)
        if room < least:
            what = f"no room for {counted(least, 'actor')} of {takes}: Ray has room for {room}"
            if connection.is_local:
                hint = "say what an actor takes: --ray-resources '{\"CPU\": 1}', or give the address of a larger Ray"
                raise ServerError(what, where="--ray", hint=hint)
            self._say(f"{what}; waiting for nodes to join")
        self._say(f"waiting for ComfyUI on {counted(least, 'actor')} of {takes}")
        self._thread = threading.Thread(target=self._tend, name="Ray actors", daemon=True)
        self._thread.start()
        with self._lock:
            done = self._lock.wait_for(lambda: len(self._new) >= least or self._failure is not None, self._options.start_timeout)
        if self._failure is not None and len(self._new) < least:
            raise self._failure
        if not done:
            what = f"{len(self._new)} of {counted(least, 'actor')} started (waited {self._options.start_timeout:g} s)"
            raise ServerError(what, where="--ray", hint="Ray has no room, or its nodes are slow to join: see `ray status`")
        return found + self._taken()

    def newcomers(self) -> list[NamedEngine]:
        """Return the engines of actors that have come up in places where there was none before."""
        return [*self._others.newcomers(), *self._taken()]

    def enlist(self, server: str) -> NamedEngine:
        """Return an engine that somebody wants to add to the run, or to drain: an actor of the run, or a server."""
        engine = self._engines.get(server)
        return self._named(engine) if engine is not None else self._others.enlist(server)

    def close(self) -> None:
        """End all actors, and a Ray that was started for the run."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        for coming in self._coming:
            coming.actor.kill()
        closing = [threading.Thread(target=engine.close, daemon=True) for engine in self._engines.values()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        if self._connection is not None:
            self._connection.close()
        self._others.close()

    def _taken(self) -> list[NamedEngine]:
        with self._lock:
            new, self._new = self._new, []
        return new

    def _named(self, engine: RayEngine) -> NamedEngine:
        return NamedEngine(engine.name, engine, self._options.in_flight)

    # On a thread of its own

    def _tend(self) -> None:
        while not self._closed.wait(_POLL_SECONDS):
            try:
                self._ask_for_more()
                for coming in list(self._coming):
                    if is_there(coming.answer):
                        self._go_on(coming)
            except ComfyRunnerError as error:
                self._fail(error)
            except Exception as error:  # Ray itself has gone, in whatever way: its actors have, too, which their engines tell
                self._fail(ServerError(f"Ray does not answer ({error})", where=self._options.address or "--ray"))

    def _ask_for_more(self) -> None:
        connection = self._connection
        now = time.monotonic()
        if now - self._failed_at > _LONGEST_PAUSE:
            self._failures = 0
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2.0**self._failures) if self._failures else 0.0
        if connection is None or now < self._failed_at + pause:
            return
        there = sum(not engine.is_empty for engine in self._engines.values())
        while there + len(self._coming) < self._most:
            actor = connection.make(ComfyUIActor, self._setup, self._resources)
            self._coming.append(_Coming(actor, actor.begin("where")))

    def _go_on(self, coming: _Coming) -> None:
        """Take the next step with an actor that has answered."""
        try:
            answer = result(coming.answer)
            if isinstance(answer, ActorPlace):
                self._placed(coming, answer)
                return
            said: Said = answer
            if said.error is not None:
                raise said.error
        except Gone:  # with its node, perhaps
            self._coming.remove(coming)
            self._count_failure()
            return
        except ComfyRunnerError as error:
            self._coming.remove(coming)
            coming.actor.kill()
            self._fail(error)
            return
        self._coming.remove(coming)
        if coming.place is not None:
            self._settle(coming.actor, coming.place)

    def _placed(self, coming: _Coming, place: ActorPlace) -> None:
        if place.version != __version__:
            what = f"has comfy_runner {place.version}, but this is {__version__}"
            raise ServerError(what, where=place.node, hint="install the same version on every node of Ray")
        coming.place = place
        coming.answer = coming.actor.begin("start")

    def _settle(self, actor: ActorHandle, place: ActorPlace) -> None:
        """Put an actor into the place of one that has ended, where Ray has put it there, or into a new one."""
        number = 1
        while (engine := self._engines.get(name := place.name(number))) is not None and not engine.is_empty:
            number += 1
        if engine is not None:
            engine.adopt(actor)
            return
        log = self._logs / f"{slug(name)}.log"
        engine = self._engines[name] = RayEngine(name, place.url(number), actor, log=log, when_empty=self._count_failure)
        with self._lock:
            self._new.append(self._named(engine))
            self._lock.notify_all()

    def _fail(self, error: ComfyRunnerError) -> None:
        self._count_failure()
        with self._lock:
            self._failure = error
            self._lock.notify_all()

    def _count_failure(self) -> None:
        """Wait before the next actor is asked for, longer each time: what ends one may end the next."""
        self._failures += 1
        self._failed_at = time.monotonic()


def _told(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items() if amount)
