"""Thousands of whole runs in imagined time: nothing is lost, nothing done twice, and nobody is idle for nothing.

Each scenario is made from one number. ``RUN_SEED=17 RUN_SCENARIOS=1`` tells the story of one; more of them try more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from comfy_runner.planning.draft import Draft
from comfy_runner.store.ledger import Ledger
from tests.running.imagined import Books, CheckedBooks, Maker, Scenario, Trouble, World, real_drafts
from tests.scheduling.scenarios import Work, drawn_work

pytestmark = pytest.mark.slow

_COUNT = int(os.environ.get("RUN_SCENARIOS", "1000"))
_FIRST = int(os.environ.get("RUN_SEED", "0"))
_HOWS = ("memory", "gpu", "fails", "view")


def test_whatever_happens_nothing_is_lost_or_done_twice() -> None:
    for number in range(_FIRST, _FIRST + _COUNT):
        _run(_troubled(number, _drawing("whole", number)))


def test_a_process_that_is_killed_between_any_two_actions_makes_nobody_render_twice() -> None:
    for number in range(_FIRST, _FIRST + _COUNT):
        world = _run(_killed(number, _drawing("killed", number)))
        assert set(world.ran.values()) <= {1}, number


def test_where_nothing_happens_groups_stay_whole() -> None:
    for number in range(_FIRST, _FIRST + _COUNT):
        world = _run(_scenario(number, _drawing("calm", number)))
        assert set(world.ran.values()) <= {1}, number
        assert world.processes == 1, number
        assert sum(len(names) > 1 for names in world.takers.values()) <= world.splits, number


def test_the_ledger_on_disk_says_the_same_as_the_one_in_memory(tmp_path: Path) -> None:
    for number in range(_FIRST, _FIRST + min(_COUNT, 10)):
        scenario = _killed(number, _drawing("killed", number))
        with Ledger(tmp_path / f"{number}.sqlite") as ledger:
            books = CheckedBooks(ledger, {draft.job_id: draft.content_hash for draft in scenario.drafts})
            _run(scenario, books)
            assert books.open_submissions() == []


def _run(scenario: Scenario, books: Books | None = None) -> World:
    world = World(scenario, _drawing("world", scenario.number), books)
    try:
        world.run()
    except BaseException:
        print("\n".join(world.story[-400:]))  # noqa: T201 - shown where a test fails
        raise
    return world


def _scenario(number: int, draw: random.Random, *, able: bool = True) -> Scenario:
    work = drawn_work(draw, most=draw.choice([5, 20, 40]))
    drafts = _drafts(work)
    total = sum(work.steps.cost(step) for job in work.jobs for step in job) or 1.0
    count = draw.choice([1, 2, 2, 3, 4])
    unit = total / 400.0
    makers = [Maker(f"s{n}", unit * draw.choice([0.5, 1.0, 1.0, 2.0]), draw.choice([1, 2, 2, 3])) for n in range(count)]
    if draw.random() < 0.2:
        makers[-1] = replace(makers[-1], cache="none")
    if not able and count > 1:
        ids = [draft.job_id for draft in drafts]
        unable, refuses = (frozenset(job_id for job_id in ids if draw.random() < often) for often in (0.3, 0.1))
        makers[-1] = replace(makers[-1], unable=unable, refuses=refuses)
    return Scenario(number, drafts, work.groups, work.steps, makers)


def _killed(number: int, draw: random.Random) -> Scenario:
    """Return a run that is killed again and again, and to which nothing else happens."""
    scenario = _scenario(number, draw)
    kills = [draw.randint(0, 8 * len(scenario.drafts)) for _ in range(draw.randint(1, 6))]
    return replace(scenario, kills=kills, followers=_followers(scenario, draw))


def _troubled(number: int, draw: random.Random) -> Scenario:
    """Return a run to which much happens."""
    scenario = _scenario(number, draw, able=draw.random() < 0.5)
    troubles = []
    for maker in scenario.makers:
        for _ in range(draw.choice([0, 0, 1, 2])):
            what = draw.choice(["silent", "silent", "restart", "loses", "busy", "drain"])
            seconds = draw.choice([1.0, 10.0, 40.0, 200.0]) if what != "drain" else 0.0
            troubles.append(Trouble(draw.uniform(0, 500), what, maker.name, seconds))
            if what == "drain" and draw.random() < 0.7:
                troubles.append(Trouble(troubles[-1].at + draw.uniform(0, 100), "add", maker.name))
    late = [replace(scenario.makers[0], name="late", is_late=True)] if draw.random() < 0.3 else []
    troubles += [Trouble(draw.uniform(0, 300), "add", maker.name) for maker in late]
    troubles += [Trouble(draw.uniform(0, 500), "cancel") for _ in range(draw.choice([0, 0, 0, 1, 2]))]
    kills = [draw.randint(0, 8 * len(scenario.drafts)) for _ in range(draw.choice([0, 0, 1, 3]))]
    often = draw.choice([0.0, 0.0, 0.05, 0.3])
    failing = {
        draft.job_id: [draw.choice(_HOWS) for _ in range(draw.randint(1, 2))] for draft in scenario.drafts if draw.random() < often
    }
    return replace(
        scenario,
        makers=[*scenario.makers, *late],
        troubles=sorted(troubles, key=lambda trouble: trouble.at),
        kills=kills,
        failing=failing,
        followers=_followers(scenario, draw),
    )


def _followers(scenario: Scenario, draw: random.Random) -> Mapping[str, str]:
    if draw.random() < 0.5 or len(scenario.drafts) < 4:
        return {}
    leaders, followers = scenario.drafts[::2], scenario.drafts[1::2]
    return {draft.job_id: draw.choice(leaders).job_id for draft in followers if draw.random() < 0.2}


def _drafts(work: Work) -> Sequence[Draft]:
    found = zip(real_drafts(), work.jobs, strict=False)
    return [replace(draft, steps=steps, content_hash=f"{number:064x}") for number, (draft, steps) in enumerate(found)]


def _drawing(kind: str, number: int) -> random.Random:
    return random.Random(f"{kind}/{number}")  # noqa: S311 - a scenario, not a secret
