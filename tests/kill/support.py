"""A sweep on a stand-in, rendered by the command, which is killed on the way; and what must be so when it has ended.

Which points there are is told by the instrument; when to kill, and what is to happen to the server, is a test's business.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.sidecar import parse_sidecar, sha256_of
from tests.cli.support import environment
from tests.forked import Forked
from tests.kill.instrument import POINTS, arm
from tests.standin import CacheMode, StandIn, State

TIME = "time"
"""The point that is any moment: the process is killed from outside."""

ALL_POINTS = (*POINTS, TIME)

REPORTS: list[str] = []
"""What is printed when all tests have ended."""

STEPS = 2
_RECIPE = {
    "name": "lake",
    "checkpoint": "tiny-random-sd15.safetensors",
    "prompt": "a lake",
    "size": {"width": 64, "height": 64},
    "sampler": {"steps": STEPS},
}
_PROGRESS = re.compile(r": submitted$|\(\d+%\)$|: done( in .*)?$")
_MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kill:
    """When a command is to be killed.

    Attributes:
        point: The point.
        number: The passing of it that is the last.
        seconds: For `TIME`: after how many seconds.
    """

    point: str
    number: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"{self.point} {self.seconds:.3f} s" if self.point == TIME else f"{self.point}:{self.number}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended.

    Attributes:
        code: Its exit code; negative where it was killed.
        point: The point at which it was killed; empty where it came to its own end.
        out: What it printed on stdout.
        err: What it printed on stderr.
    """

    code: int
    point: str
    out: str
    err: str


@dataclass(slots=True)
class Restarts:
    """How often a server was restarted meanwhile, and how."""

    count: int = 0
    torn: int = 0


@dataclass(slots=True)
class Scenario:
    """A sweep to be rendered into one run folder, by as many commands as it takes; entered, its stand-in serves.

    Attributes:
        folder: An empty folder of its own.
        denoise: The denoise values of the sweep.
        seeds: Its seeds.
        cache: The server's cache.
        report: Whether the commands write a report at their end.
        story: What has happened, for who has to find out why something is wrong.
    """

    folder: Path
    denoise: tuple[float, ...] = (0.5, 0.6, 0.7)
    seeds: tuple[int, ...] = (1, 2)
    cache: CacheMode | None = None
    report: bool = False
    story: list[str] = field(default_factory=list)
    server: StandIn = field(init=False)

    def __enter__(self) -> Self:
        """Start the server and write the recipe."""
        self.server = StandIn(State(cache=self.cache)).__enter__()
        recipe = {**_RECIPE, "sweep": {"seed": list(self.seeds), "upscale.denoise": list(self.denoise)}}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "lake.yaml").write_text(json.dumps(recipe), encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the server."""
        self.server.__exit__(kind, error, trace)

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.folder / "out"

    @property
    def jobs(self) -> int:
        """How many jobs there are."""
        return len(self.seeds) * len(self.denoise)

    def command(self, kill: Kill | None = None, *args: str) -> Ending:
        """Run the command until it ends or dies.

        Args:
            kill: When it is to die.
            args: What follows ``comfy-runner``; to render the sweep, if nothing is given.
        """
        line = args or ("run", "lake.yaml", "--server", self.server.url, "--out", "out")
        told = self.folder / "killed-at"
        told.unlink(missing_ok=True)
        outside, inside = (kill, None) if kill is not None and kill.point == TIME else (None, kill)
        process = Forked(
            *line,
            folder=self.folder,
            environment=environment(COMFY_RUNNER_REPORT=str(int(self.report))),
            first=None if inside is None else partial(arm, f"{inside.point}:{inside.number}", told),
        )
        point = ""
        try:
            out, err = process.communicate(_MOST_SECONDS if outside is None else outside.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate(_MOST_SECONDS)
            point = TIME
        if told.exists():
            point = told.read_text(encoding="utf-8")
        ending = Ending(process.returncode, point if process.returncode < 0 else "", out.decode(), err.decode())
        said = [line for line in ending.err.splitlines() if not _PROGRESS.search(line)]
        self.story.append(f"{kill or 'to its end'}: exit code {ending.code} {ending.point or '; '.join(said)}")
        return ending

    @contextmanager
    def restarting(self, draw: random.Random, *, times: int) -> Iterator[Restarts]:
        """Restart the server at random moments: after some request or node, sometimes in the middle of a file, at most so often."""
        done, state = Restarts(), self.server.state
        ended = threading.Event()

        def has_come(moment: int) -> bool:
            return ended.is_set() or len(state.asked) + len(state.ran) >= moment

        def restart() -> None:
            for _ in range(times):
                moment = len(state.asked) + len(state.ran) + draw.randrange(1, 80)
                torn, down = draw.random() < 0.5, draw.choice((0.0, 0.0, 0.05, 0.3))
                state.until(partial(has_come, moment))
                if ended.is_set():
                    return
                torn = torn and bool(state.memory.running)
                self.story.append(f"restart, torn: {torn}, down: {down} s, after {len(state.ran)} nodes")
                state.restart(torn=torn, down=down)
                done.count += 1
                done.torn += torn

        thread = threading.Thread(target=restart, daemon=True)
        thread.start()
        try:
            yield done
        finally:
            ended.set()
            state.look_again()
            thread.join(_MOST_SECONDS)

    def problems(self, *, restarted: bool) -> list[str]:
        """Return what is not as it must be when the sweep is rendered, whatever happened on the way.

        Args:
            restarted: Whether the server was; otherwise nothing at all may have been made twice.
        """
        return [*self._wrong_files(), *self._wrong_ledger(), *self._wrong_work(restarted=restarted)]

    def _wrong_files(self) -> Iterator[str]:
        sidecars = sorted(self.out.glob("*/job.json"))
        if len(sidecars) != self.jobs:
            yield f"{len(sidecars)} sidecars of {self.jobs} jobs"
        known = set(sidecars)
        for path in sidecars:
            sidecar = parse_sidecar(path.read_bytes(), where=path.name)
            if sidecar.state != "done" or sorted(sidecar.files) != ["original", "upscaled"]:
                yield f"{path.parent.name} is {sidecar.state} with {sorted(sidecar.files)}: {sidecar.reason}"
            for record in (record for records in sidecar.files.values() for record in records):
                file = self.out / record.path
                known.add(file)
                if not file.exists() or sha256_of(file) != record.sha256:
                    yield f"{record.path} is not what its sidecar says"
        for path in self.out.rglob("*"):
            if path.suffix in (".png", ".part") and path not in known:
                yield f"{path.relative_to(self.out)} is left over"

    def _wrong_ledger(self) -> Iterator[str]:
        with Ledger(self.out / FILE, readonly=True) as ledger:
            ledger.check()
            states = Counter(known.state for known in ledger.known().values())
            if states != {"done": self.jobs}:
                yield f"the ledger says {dict(states)}"

    def _wrong_work(self, *, restarted: bool) -> Iterator[str]:
        """A picture may be made twice only if the server died before the prompt had made all pictures of that job."""
        saves = [node for node in list(self.server.state.ran) if node.is_save]
        pictures: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        upscaled: dict[str, set[str]] = defaultdict(set)
        for node in saves:
            for name in node.files:
                job_id = _job_id(name, node.prompt_id)
                pictures[job_id][node.prompt_id].add(node.passes)
                if node.passes > 1:
                    upscaled[job_id].add(node.signature)
        for job_id, prompts in pictures.items():
            needed = [prompt_id for prompt_id, passes in prompts.items() if passes == {1, 2} or not restarted]
            if len(needed) > 1:
                yield f"{job_id} was rendered {len(needed)} times, by {', '.join(needed)}"
        wanted = len({int(STEPS / value) for value in self.denoise}) * len(self.seeds)
        made = {signature for signatures in upscaled.values() for signature in signatures}
        if len(made) != wanted:
            yield f"{len(made)} different pictures were upscaled, but {wanted} are needed"


def _job_id(name: str, prompt_id: str) -> str:
    """Return the job to which the server's name of a file belongs."""
    return name.rpartition("/")[2].partition(f"-{prompt_id[:8]}-")[0]


def kill_at(point: str, draw: random.Random, *, jobs: int) -> Kill:
    """Draw a passing of a point, or a moment, at which a command that has so many jobs to render can be killed."""
    if point == TIME:
        return Kill(TIME, seconds=draw.uniform(0.02, 0.5))
    return Kill(point, draw.randint(1, max(1, jobs)))
