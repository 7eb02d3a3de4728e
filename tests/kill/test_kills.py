"""Nothing is lost, and nothing is made twice: the command killed at random, servers restarted at random, and both.

The draws come from a seed that is printed: ``KILL_SEED=… pytest tests/kill`` repeats them, and ``KILL_ONLY=12`` only those of
the scenario of that number. What the operating system and the server do meanwhile is theirs to decide, so a repetition is
the same in what is drawn, not in every instant.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kill.support import ALL_POINTS, REPORTS, Ending, Kill, Scenario, kill_at

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.timeout(1800),  # a loaded machine is no fault of the program's
]

SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**9))
ONLY = os.environ.get("KILL_ONLY")
KILLS = 200
RESTARTS = 50
_KILLS_EACH = 8
_RESTARTS_EACH = 3
_AT_ONCE = 4
_MOST_SCENARIOS = 150


@dataclass(slots=True)
class Tally:
    """What all scenarios have seen together."""

    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    torn: int = 0
    commands: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self, what: str) -> str:
        points = "\n".join(f"  {point:22} {self.kills[point]:4}" for point in ALL_POINTS)
        numbers = f"{self.kills.total()} kills, {self.restarts} restarts ({self.torn} in the middle of a file)"
        return f"\n{what}: KILL_SEED={SEED}: {numbers}, {self.commands} commands\n{points}"


def scenario_of(number: int, folder: Path, draw: random.Random) -> Scenario:
    # 0.52 gives the pixels of 0.6 at two steps: one picture for two jobs.
    denoise = (0.5, 0.6, 0.52, 0.7) if number % 3 == 2 else (0.5, 0.6, 0.7)
    # With a report each command takes a second longer, so only some write one.
    return Scenario(folder, denoise=denoise, cache="none" if draw.random() < 0.2 else None, report=number % 10 == 9)


def render(number: int, folder: Path, tally: Tally, *, kills: int, restarts: int) -> None:
    """Render a sweep with so many kills, and restarts of the server during each command; the last command is left alone."""
    draw = random.Random(f"{SEED}/{number}")  # noqa: S311 - to be repeated, not to be secret
    with scenario_of(number, folder, draw) as scenario:
        drawn = [ALL_POINTS[(number + n * 5) % len(ALL_POINTS)] for n in range(kills)]
        plan: list[Kill | None] = [kill_at(point, draw, jobs=scenario.jobs // 2) for point in drawn] or [None, None]
        restarted = 0
        for kill in plan:
            with scenario.restarting(draw, times=restarts) as done:
                ending = scenario.command(kill)
            restarted += done.count
            with tally.lock:
                tally.commands += 1
                tally.restarts += done.count
                tally.torn += done.torn
                tally.kills[ending.point] += bool(ending.point)
            if ending.code == 0:
                break
        ending = scenario.command()
        wrong = [*unfinished(ending), *(scenario.problems(restarted=restarted > 0) if ending.code == 0 else ())]
        if wrong:
            story = "\n    ".join(scenario.story)
            with tally.lock:
                tally.wrong.append(f"scenario {number}: {'; '.join(wrong)}\n    {story}")


def unfinished(ending: Ending) -> list[str]:
    return [] if ending.code == 0 else [f"the last command ended with {ending.code}: {ending.err}"]


def run_all(folder: Path, first: int, enough: Callable[[Tally], bool], *, kills: int, restarts: int) -> Tally:
    """Render scenario after scenario, several at a time, until there have been enough troubles."""
    tally = Tally()

    def one(number: int) -> None:
        if not enough(tally) and len(tally.wrong) < 3:
            render(number, folder / str(number), tally, kills=kills, restarts=restarts)

    numbers = range(first, first + _MOST_SCENARIOS)
    chosen = [int(ONLY)] if ONLY else numbers
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(one, number) for number in chosen if number in numbers]:
            done.result()
    return tally


def test_nothing_is_lost_and_nothing_is_made_twice_when_the_command_is_killed(tmp_path: Path) -> None:
    tally = run_all(tmp_path, 0, lambda tally: tally.kills.total() >= KILLS, kills=_KILLS_EACH, restarts=0)
    REPORTS.append(report := tally.report("kills"))
    assert not tally.wrong, "\n".join([report, *tally.wrong])
    assert ONLY or tally.kills.total() >= KILLS, report
    assert ONLY or all(tally.kills[point] for point in ALL_POINTS), report


def test_nothing_is_lost_when_the_server_is_restarted(tmp_path: Path) -> None:
    tally = run_all(tmp_path, 1000, lambda tally: tally.restarts >= RESTARTS, kills=0, restarts=_RESTARTS_EACH)
    REPORTS.append(report := tally.report("restarts"))
    assert not tally.wrong, "\n".join([report, *tally.wrong])
    assert ONLY or (tally.restarts >= RESTARTS and tally.torn), report


def test_nothing_is_lost_when_the_command_is_killed_and_the_server_is_restarted(tmp_path: Path) -> None:
    def enough(tally: Tally) -> bool:
        return tally.kills.total() >= 30 and tally.restarts >= 20

    tally = run_all(tmp_path, 2000, enough, kills=_KILLS_EACH, restarts=1)
    REPORTS.append(report := tally.report("both"))
    assert not tally.wrong, "\n".join([report, *tally.wrong])
    assert ONLY or (tally.kills.total() and tally.restarts), report
