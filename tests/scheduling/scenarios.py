"""What is simulated: plans of many shapes, servers that are not what is expected of them, what goes wrong; drawn at random."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from comfy_runner.planning.order import groups, order
from tests.planning.model_lists import Steps


class Priced(Steps):
    """Node results whose costs are drawn: loads that cost nothing or more than ten jobs, jobs that are all equal or not."""

    def __init__(self, factors: dict[str, float], jitter: float = 0.0) -> None:
        super().__init__()
        self._factors, self._jitter = factors, jitter

    def cost(self, step: int, /) -> float:
        usual = super().cost(step) * self._factors.get(self.kind(step), 1.0)
        return usual * (1.0 + self._jitter * ((step * 0.6180339887498949) % 1.0 - 0.5))


@dataclass(frozen=True, slots=True)
class Work:
    """The jobs of a run, in the plan's order.

    Attributes:
        steps: What is known of the results.
        jobs: The results of each job.
        groups: The jobs by groups.
        shape: What kind of plan it is.
    """

    steps: Steps
    jobs: Sequence[tuple[int, ...]]
    groups: Sequence[Sequence[int]]
    shape: str

    @classmethod
    def of(cls, steps: Steps, jobs: Sequence[tuple[int, ...]], shape: str = "") -> Work:
        """Return these jobs in the order and the groups that a plan has."""
        ordered = [jobs[index] for index in order(jobs, steps)]
        return cls(steps, ordered, [list(group) for group in groups(ordered, steps)], shape)


@dataclass(frozen=True, slots=True)
class Maker:
    """A server as it is.

    Attributes:
        name: Its name.
        speed: Weighted steps per second.
        told: What is known of that when it joins; None for nothing.
        places: How many submissions it holds at a time.
        most: How many jobs of a group go into one submission; it has no cache where that is more than 1.
        lacks: The results that it cannot make.
        joins: When it does, in seconds.
    """

    name: str
    speed: float = 1.0
    told: float | None = None
    places: int = 2
    most: int = 1
    lacks: frozenset[int] = frozenset()
    joins: float = 0.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to a server, or to a job.

    Attributes:
        at: When, in seconds.
        what: ``dies``, ``returns``, ``drains``, ``foreign`` (works for others), ``speed`` (becomes another one), ``limit`` (of
            places) or ``remove`` (a job).
        name: The server.
        value: Seconds, a factor, places or the job.
    """

    at: float
    what: str
    name: str = ""
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run.

    Attributes:
        number: Its number.
        work: The jobs.
        makers: The servers.
        troubles: What happens.
        failing: For some jobs, how they fail before they are done: with ``again``, ``last``, ``avoid`` or ``avoid last``.
        singly: Whether jobs are put back one by one.
    """

    number: int
    work: Work
    makers: Sequence[Maker]
    troubles: Sequence[Trouble] = ()
    failing: Mapping[int, Sequence[str]] = field(default_factory=dict)
    singly: bool = True


SHAPES = ("sweep", "one group", "single jobs", "variants", "two sweeps", "one job", "few jobs", "equal checkpoints")


def drawn_work(draw: random.Random, *, most: int = 120) -> Work:
    """Return a plan of one of the shapes, of not many more jobs than are allowed."""
    shape = draw.choice(SHAPES)
    factors = {"load": draw.choice([0.0, 0.2, 1.0, 1.0, 5.0, 40.0]), "first": draw.choice([0.0, 1.0, 1.0, 6.0])}
    steps = Priced(factors, draw.choice([0.0, 0.0, 0.3, 1.5]))
    checkpoints = [f"c{number}" for number in range(draw.choice([1, 1, 2, 2, 3, 4, 7]))]

    def seeds(count: int) -> range:
        return range(max(1, count))

    size = draw.randint(2, most)
    if shape == "sweep":
        denoise = [n / 10 for n in range(draw.randint(1, 9))]
        jobs = steps.sweep(checkpoint=checkpoints, seed=seeds(size // len(checkpoints) // len(denoise)), denoise=denoise)
    elif shape == "one group":
        jobs = steps.sweep(denoise=[n / size for n in range(size)])
    elif shape == "single jobs":
        jobs = steps.sweep(checkpoint=checkpoints, seed=seeds(size // len(checkpoints)))
    elif shape == "variants":
        variants = [("", "", ""), ("l", "", ""), ("", "r", ""), ("", "", "u"), ("l", "r", "u")][: draw.randint(2, 5)]
        jobs = [
            steps.job(checkpoint=checkpoint, seed=seed, denoise=denoise, lora=lora, refiner=refiner, upscaler=upscaler)
            for checkpoint in checkpoints
            for seed in seeds(size // len(checkpoints) // len(variants) // 2)
            for denoise in (0.4, 0.6)
            for lora, refiner, upscaler in variants
        ]
    elif shape == "two sweeps":
        jobs = steps.sweep(checkpoint=checkpoints, seed=seeds(size // len(checkpoints) // 6), denoise=[0.4, 0.5, 0.6])
        jobs += steps.sweep(checkpoint=["z"], seed=range(100, 102), denoise=[n / size for n in range(size // 4 + 1)])
    elif shape == "one job":
        jobs = [steps.job()]
    elif shape == "few jobs":
        jobs = steps.sweep(seed=range(draw.randint(1, 2)), denoise=[n / 10 for n in range(draw.randint(1, 4))])
    else:
        jobs = steps.sweep(
            checkpoint=[f"c{number}" for number in range(draw.randint(2, 6))], seed=seeds(size // 12), denoise=[0.4, 0.6]
        )
    return Work.of(steps, jobs, shape)


def drawn_makers(draw: random.Random, work: Work, *, truthful: bool, able: bool, most: int = 8) -> list[Maker]:
    """Return servers: as fast as is told or not, able to do everything or not."""
    count = draw.choice([1, 2, 2, 3, 4, 5, 6, most])
    kinds = draw.choice(["equal", "mixed", "one slow"])
    unit = draw.choice([0.1, 1.0, 10.0])
    lacking = sorted({step for job in work.jobs for step in job if work.steps.kind(step) == "load" or draw.random() < 0.02})
    found = []
    for number in range(count):
        speed = unit * {"equal": 1.0, "mixed": 2.0 ** draw.uniform(-2, 2), "one slow": 1.0 if number else 0.1}[kinds]
        lacks = frozenset(step for step in lacking if draw.random() < 0.3) if not able and draw.random() < 0.5 else frozenset()
        told = speed if truthful else draw.choice([None, None, speed, speed * 10.0 ** draw.uniform(-1, 1)])
        places = draw.choice([1, 2, 2, 2, 3])
        found.append(Maker(f"s{number}", speed, told, places, 1 if draw.random() < 0.8 else draw.choice([2, 16]), lacks))
    draw.shuffle(found)
    return found


def calm(number: int, draw: random.Random, *, able: bool = True) -> Scenario:
    """Return a run in which nothing goes wrong, and all speeds are as is told."""
    work = drawn_work(draw)
    return Scenario(number, work, drawn_makers(draw, work, truthful=True, able=able))


def troubled(number: int, draw: random.Random) -> Scenario:
    """Return a run in which much goes wrong."""
    work = drawn_work(draw, most=80)
    makers = drawn_makers(draw, work, truthful=draw.random() < 0.3, able=draw.random() < 0.5)
    total = sum(work.steps.cost(step) for job in work.jobs for step in job) or 1.0
    length = total / sum(maker.speed for maker in makers)
    late = [Maker(f"t{n}", draw.choice(makers).speed, joins=draw.uniform(0, length)) for n in range(draw.choice([0, 0, 1, 2]))]
    makers += late
    troubles = []
    for maker in makers:
        for _ in range(draw.choice([0, 0, 1, 1, 2])):
            at = draw.uniform(maker.joins, 1.2 * length)
            what = draw.choice(["dies", "dies", "drains", "foreign", "speed", "speed", "limit", "limit"])
            value = {
                "foreign": draw.uniform(0, length / 2),
                "speed": draw.choice([0.1, 0.3, 3.0, 10.0]),
                "limit": draw.choice([0, 1, 1, 3]),
            }.get(what, 0.0)
            troubles.append(Trouble(at, what, maker.name, value))
            if what == "limit" and not value:
                troubles.append(Trouble(at + draw.uniform(0, length / 4), "limit", maker.name, 2))
            if what in ("dies", "drains") and draw.random() < 0.6:
                troubles.append(Trouble(at + draw.uniform(0, length / 3), "returns", maker.name))
    numbers = range(len(work.jobs))
    troubles += [Trouble(draw.uniform(0, length), "remove", value=draw.choice(numbers)) for _ in range(draw.choice([0, 0, 1, 4]))]
    often = draw.choice([0.0, 0.0, 0.02, 0.2])
    hows = ("again", "last", "avoid", "avoid last")
    failing = {job: [draw.choice(hows) for _ in range(draw.randint(1, 3))] for job in numbers if draw.random() < often}
    return Scenario(number, work, makers, sorted(troubles, key=lambda trouble: trouble.at), failing, draw.random() < 0.7)
