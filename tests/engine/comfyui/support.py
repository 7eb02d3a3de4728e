"""What the tests of one server share: graphs, a thread that follows prompts, its reports, and limits short enough for tests."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.prompt_thread import PromptRequest, PromptThread
from comfy_runner.engine.interface import EngineOptions
from comfy_runner.engine.reports import Broken, Cancelled, Crashed, EngineReport, Finished, NodeProgress, Refused
from comfy_runner.engine.timeouts import STALL_SECONDS, RequestTimeouts, Timeouts
from tests.standin import HELD, State

CHECKPOINT = "tiny-random-sd15.safetensors"
QUICK = Timeouts(
    connect=2.0,
    reconnect=0.05,
    queue=0.02,
    queue_with_socket=0.02,
    repost=(0.01, 0.02, 0.04),
    poll_shortest=0.002,
    poll_longest=0.05,
    poll_with_socket=0.02,
)
UNHURRIED = Timeouts(queue=0.1, poll_longest=0.1)
"""For a real server, which may well be slow."""

R = TypeVar("R", bound=EngineReport)
Graph = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """A server to test against; only the stand-in has a state."""

    url: str
    state: State | None = None

    @property
    def http(self) -> ComfyHttp:
        return http(self.url)

    @property
    def told(self) -> Timeouts:
        """Timeouts that looks at a job only when the websocket says so, so that every frame is handled before."""
        return replace(self.timeouts, poll_with_socket=HELD)

    @property
    def timeouts(self) -> Timeouts:
        return UNHURRIED if self.state is None else QUICK


def http(url: str) -> ComfyHttp:
    return ComfyHttp(parse_address(url), timeouts=RequestTimeouts(connect=5.0, read=20.0))


def prefix() -> str:
    return f"comfy_runner-test/{uuid.uuid4().hex[:12]}"


def plain_graph(name: str | None = None, *, color: int = 0x336699) -> Graph:
    """The smallest graph that saves a picture: one colour, 64 x 48 pixels."""
    return {
        "image": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": color}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["image", 0], "filename_prefix": name or prefix()}},
    }


def sampler_graph(name: str | None = None, *, steps: int = 2, upscale_steps: int = 1, seed: int = 1) -> Graph:
    """An original of 64 x 64 pixels and its latent upscale to 128 x 96."""
    name = name or prefix()

    def sample(latent: list[Any], count: int, denoise: float) -> Graph:
        links = {"model": ["checkpoint", 0], "positive": ["prompt", 0], "negative": ["prompt", 0], "latent_image": latent}
        numbers = {"seed": seed, "steps": count, "cfg": 1.0, "denoise": denoise}
        return {"class_type": "KSampler", "inputs": {**links, **numbers, "sampler_name": "euler", "scheduler": "normal"}}

    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "prompt": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["checkpoint", 1], "text": "a forest"}},
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "first": sample(["latent", 0], steps, 1.0),
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["first", 0], "vae": ["checkpoint", 2]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": f"{name}-original"}},
        "upscale": {
            "class_type": "LatentUpscale",
            "inputs": {"samples": ["first", 0], "upscale_method": "bislerp", "width": 128, "height": 96, "crop": "disabled"},
        },
        "second": sample(["upscale", 0], upscale_steps, 0.5),
        "decode_up": {"class_type": "VAEDecode", "inputs": {"samples": ["second", 0], "vae": ["checkpoint", 2]}},
        "save_up": {"class_type": "SaveImage", "inputs": {"images": ["decode_up", 0], "filename_prefix": f"{name}-upscaled"}},
    }


class Clock:
    """Monotonic seconds that a test can move on at once."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def jump(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._ahead += seconds


class Rig:
    """A thread that follows prompts, and what it has reported."""

    def __init__(self, server_http: ComfyHttp, options: EngineOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._inbox: queue.SimpleQueue[EngineReport] = queue.SimpleQueue()
        self.reports: list[EngineReport] = []
        self.thread = PromptThread(server_http, self._inbox.put, options, clock=clock)

    def submit(self, workflow: Graph, key: str = "job") -> PromptRequest:
        job = PromptRequest(key, str(uuid.uuid4()), workflow)
        self.thread.submit(job)
        return job

    def attach(self, job: PromptRequest) -> PromptRequest:
        self.thread.attach(job)
        return job

    def until(self, kind: type[R], key: str = "job") -> R:
        """Return the first report of a kind about a job, seen before or still to come."""
        for report in self._all():
            if isinstance(report, kind) and not isinstance(report, Crashed) and report.key == key:
                return report
        raise AssertionError(f"no {kind.__name__} of {key}, but {self.reports}")

    def until_node(self, node: str, key: str = "job") -> None:
        """Return when a node of a job runs."""
        if not any(isinstance(report, NodeProgress) and (report.key, report.node) == (key, node) for report in self._all()):
            raise AssertionError(f"{node} of {key} did not run, but {self.reports}")

    def until_step(self, step: int, key: str = "job") -> None:
        """Return when a node of a job has done so many steps."""
        if not any(isinstance(report, NodeProgress) and report.key == key and report.step >= step for report in self._all()):
            raise AssertionError(f"no step {step} of {key}, but {self.reports}")

    def end(self, key: str = "job") -> Finished | Refused | Cancelled | Broken:
        """Return what became of a job."""
        for report in self._all():
            if isinstance(report, (Finished, Refused, Cancelled, Broken)) and report.key == key:
                return report
        raise AssertionError(f"no end of {key}, but {self.reports}")

    def run(self, workflow: Graph, key: str = "job") -> Finished | Refused | Cancelled | Broken:
        self.submit(workflow, key)
        return self.end(key)

    def finish(self, workflow: Graph, key: str = "job") -> Finished:
        report = self.run(workflow, key)
        assert isinstance(report, Finished), report
        return report

    def _all(self) -> Iterator[EngineReport]:
        yield from list(self.reports)
        deadline = time.monotonic() + HELD
        while (left := deadline - time.monotonic()) > 0:
            try:
                report = self._inbox.get(timeout=left)
            except queue.Empty:
                return
            self.reports.append(report)
            yield report


@contextmanager
def following(
    server: Server | str,
    *,
    with_socket: bool = True,
    timeouts: Timeouts | None = None,
    stall: float = STALL_SECONDS,
    total: float | None = None,
    allow_partial: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Rig]:
    """Follow prompts on a server until the end of the block."""
    server = Server(server) if isinstance(server, str) else server
    timeouts = timeouts or server.timeouts
    options = EngineOptions(websocket=with_socket, stall=stall, total=total, allow_partial=allow_partial, timeouts=timeouts)
    rig = Rig(server.http, options, clock=clock)
    try:
        yield rig
    finally:
        rig.thread.close()


def names(report: Finished) -> dict[str, Iterable[str]]:
    return {node: [file.filename for file in files] for node, files in report.verdict.files.items()}
