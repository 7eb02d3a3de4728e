"""What travels between a run and its actors: plain values, which can be pickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.local import LocalOptions
from comfy_runner.engine.local.recipe_models import ModelOrder
from comfy_runner.engine.ray_actors.ended import SCHEME
from comfy_runner.engine.reports import EngineReport
from comfy_runner.errors import ComfyRunnerError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSetup:
    """Which ComfyUI an actor starts.

    Attributes:
        command: The shell command, with ``{port}``; empty for the local ComfyUI.
        local: That local ComfyUI: the one that is set up on the actor's machine, or a checkout there.
        start_timeout: Seconds that it may take until it answers.
        models: The models of recipes that the local ComfyUI is to have; None for none.
    """

    command: str
    local: LocalOptions
    start_timeout: float
    models: ModelOrder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorPlace:
    """Where Ray has put an actor.

    Attributes:
        node: The name of its node.
        gpus: The ids of its GPUs, as Ray numbers them; none for an actor without.
        version: The version of comfy_runner there.
        process: Its process id.
    """

    node: str
    gpus: tuple[str, ...]
    version: str
    process: int

    def name(self, number: int = 1) -> str:
        """Return what its lane is called: node and GPU.

        Args:
            number: Which it is of those that share them.
        """
        return f"{self.node} {self._device}" + (f" ({number})" if number > 1 else "")

    def url(self, number: int = 1) -> str:
        """Return what ledgers and sidecars call it.

        Args:
            number: As for `name`.
        """
        device = self._device.replace(" ", "-") + (f"-{number}" if number > 1 else "")
        return f"{SCHEME}://{quote(self.node, safe='')}/{device}"

    @property
    def _device(self) -> str:
        return f"GPU {','.join(self.gpus)}" if self.gpus else "CPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAtActor:
    """A run, as its actors have to know it.

    Attributes:
        options: How submissions are treated.
        url: What ledgers and sidecars call the actor's engine.
        store: The URL of the store that the actor puts finished files into; empty where the run collects them itself.
        lease: The number of the run's lease there; while it is the highest, nobody else writes there.
    """

    options: EngineOptions
    url: str
    store: str = ""
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What an actor's engine has returned, or raised.

    Attributes:
        value: What it returned; None where it raised.
        error: What it raised; None where it did not.
    """

    value: Any = None
    error: ComfyRunnerError | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What an actor has to tell since it was last asked.

    Attributes:
        reports: What its engine has reported, oldest first; told again until the next question says that they have arrived.
        log: What its server has printed.
    """

    reports: tuple[EngineReport, ...]
    log: bytes


@dataclass(frozen=True, slots=True)
class FileChunk:
    """A piece of a file that an actor has fetched from its server.

    Attributes:
        content: Its bytes.
        rest: By what the next piece can be asked for; empty where this is the last.
    """

    content: bytes
    rest: str = ""
