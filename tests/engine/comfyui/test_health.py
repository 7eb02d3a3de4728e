from __future__ import annotations

from typing import Any

from comfy_runner.engine.comfyui.history import Health
from comfy_runner.engine.timeouts import Timeouts

TIMEOUTS = Timeouts(outage=60.0, idle=10.0)
IDLE = {"queue_running": [], "queue_pending": [[1, "p"]]}
BUSY = {"queue_running": [[1, "p"]], "queue_pending": [[2, "q"]]}
EMPTY: dict[str, list[Any]] = {"queue_running": [], "queue_pending": []}


def test_an_outage_is_too_long_only_after_its_time() -> None:
    health = Health(TIMEOUTS)
    assert [health.failed(now) for now in (100.0, 130.0, 160.0, 160.1)] == [False, False, False, True]


def test_an_answer_ends_an_outage() -> None:
    health = Health(TIMEOUTS)
    health.failed(0.0)
    assert health.failing
    health.answered()
    assert not health.failing
    assert not health.failed(100.0)


def test_prompts_that_wait_while_none_runs_are_a_standstill_after_a_while() -> None:
    health = Health(TIMEOUTS)
    assert [health.stands_still(IDLE, now) for now in (0.0, 9.0, 10.0, 10.1)] == [False, False, False, True]


def test_a_prompt_that_runs_in_between_is_no_standstill() -> None:
    health = Health(TIMEOUTS)
    assert [health.stands_still(queue, now) for queue, now in ((IDLE, 0.0), (BUSY, 8.0), (IDLE, 9.0), (IDLE, 18.0))] == [False] * 4


def test_an_empty_queue_is_no_standstill() -> None:
    health = Health(TIMEOUTS)
    assert not health.stands_still(EMPTY, 0.0)
    assert not health.stands_still(EMPTY, 1000.0)


def test_nothing_is_said_of_the_time_in_which_nothing_was_seen() -> None:
    health = Health(TIMEOUTS)
    health.stands_still(IDLE, 0.0)
    health.failed(5.0)
    health.answered()
    assert not health.stands_still(IDLE, 30.0)


def test_an_odd_queue_is_no_standstill() -> None:
    assert not Health(TIMEOUTS).stands_still({}, 0.0)
