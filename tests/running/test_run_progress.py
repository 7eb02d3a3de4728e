"""How far a run is by its events, on a clock that the tests move."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.errors import ServerStuck
from comfy_runner.running.events import (
    Event,
    JobFinished,
    JobProgressed,
    JobResult,
    JobRetried,
    JobSubmitted,
    JobWaiting,
    RunStarted,
    ServerChanged,
)
from comfy_runner.running.run_progress import RunProgress
from comfy_runner.store.states import State

_JOBS = tuple("abcdefghij")


class _Run:
    """A run of ten jobs, each of which costs 10 weighted steps, unless it is said otherwise."""

    def __init__(self, *servers: str, work: tuple[float, ...] = (10.0,) * 10, done: int = 0, seconds: float | None = None) -> None:
        self.now = 100.0
        self.progress = RunProgress(lambda: self.now)
        self.tell(RunStarted(Path("x"), "", _JOBS, done, (), servers or ("one",), work, seconds))

    def tell(self, *events: Event, after: float = 0.0) -> None:
        self.now += after
        for event in events:
            self.progress.follow(event)

    def submit(self, job_id: str, server: str = "one", *, prompt_id: str = "") -> None:
        self.tell(JobSubmitted(job_id, prompt_id or f"prompt-{job_id}", server))

    def advance(self, job_id: str, fraction: float, *, after: float = 0.0) -> None:
        self.tell(JobProgressed(job_id, "Pass", 1, 2, fraction), after=after)

    def finish(self, job_id: str, *, after: float = 0.0, state: State = "done") -> None:
        self.tell(JobFinished(JobResult(job_id, state, {})), after=after)

    @property
    def left(self) -> float | None:
        return self.progress.seconds_left


def test_the_first_job_alone_tells_how_long_the_run_takes() -> None:
    run = _Run()
    run.submit("a")
    assert (run.progress.share, run.left) == (0.0, None)

    run.advance("a", 0.0)
    run.advance("a", 0.5, after=150.0)

    assert run.progress.share == pytest.approx(0.05)
    assert run.left == pytest.approx(19 * 150.0)


def test_what_is_done_is_counted_by_work_and_not_by_jobs() -> None:
    run = _Run(work=(10.0,) * 9 + (910.0,))
    for job_id in _JOBS[:9]:
        run.submit(job_id)
        run.finish(job_id, after=10.0)

    assert (run.progress.finished, run.progress.jobs) == (9, 10)
    assert run.progress.share == pytest.approx(0.09)
    assert run.left == pytest.approx(910.0)


def test_jobs_that_were_done_before_are_counted_and_are_no_work() -> None:
    run = _Run(work=(0.0,) * 8 + (10.0,) * 2, done=8)
    run.submit("i")
    run.finish("i", after=30.0)

    assert (run.progress.finished, run.progress.share) == (9, 0.5)
    assert run.left == pytest.approx(30.0)


def test_where_nothing_is_known_of_what_jobs_cost_each_counts_for_as_much() -> None:
    run = _Run(work=(0.0,) * 10, done=5)
    run.submit("f")
    run.finish("f", after=20.0)

    assert run.progress.share == pytest.approx(0.2)
    assert run.left == pytest.approx(80.0)


def test_waiting_behind_others_is_no_time_of_a_job_and_tells_nothing_of_the_server() -> None:
    run = _Run()
    run.submit("a")
    run.tell(JobWaiting("a", 3))
    run.now += 1000.0
    assert run.progress.running_seconds("a") is None
    assert run.left is None

    run.advance("a", 0.0)
    run.advance("a", 0.5, after=5.0)

    assert run.progress.running_seconds("a") == pytest.approx(5.0)
    assert run.left == pytest.approx(95.0)


def test_the_job_behind_the_one_that_runs_has_taken_no_time() -> None:
    run = _Run()
    run.submit("a")
    run.submit("b")
    run.now += 40.0
    assert run.progress.running_seconds("a") == pytest.approx(40.0)
    assert run.progress.running_seconds("b") is None

    run.finish("a")
    run.now += 2.0

    assert run.progress.running_seconds("b") == pytest.approx(2.0)
    assert run.progress.running_seconds("never heard of") is None


def test_a_server_that_tells_of_no_nodes_is_reckoned_by_the_jobs_that_it_has_finished() -> None:
    run = _Run()
    run.submit("a")
    run.submit("b")
    run.tell(JobWaiting("b", 1))
    run.tell(JobWaiting("b", 0), after=60.0)
    run.finish("a")

    assert run.left == pytest.approx(9 * 60.0)


def test_a_first_job_that_has_loaded_models_is_soon_forgotten() -> None:
    run = _Run()
    for job_id, seconds in zip(_JOBS[:5], (60.0, 5.0, 5.0, 5.0, 5.0), strict=True):
        run.submit(job_id)
        run.finish(job_id, after=seconds)

    assert 25.0 < (run.left or 0.0) < 5 * 80.0 / 5


def test_several_servers_share_what_is_left() -> None:
    run = _Run("one", "two")
    for job_id, server in (("a", "one"), ("b", "two")):
        run.submit(job_id, server)
    run.finish("a", after=10.0)
    run.finish("b", after=30.0)  # after 40 seconds, of which the other server has worked for ten

    assert run.left == pytest.approx(80.0 / (1.0 + 0.25))


def test_the_last_job_takes_as_long_as_its_own_server_needs() -> None:
    run = _Run("fast", "slow", work=(10.0, 10.0) + (0.0,) * 8, done=8)
    run.submit("a", "fast")
    run.submit("b", "slow")
    run.finish("a", after=1.0)
    run.advance("b", 0.1)

    assert run.left == pytest.approx(9.0)


def test_a_server_that_is_out_of_order_is_not_reckoned_with_and_its_time_does_not_count() -> None:
    run = _Run("one", "two")
    run.submit("a", "one")
    run.submit("b", "two")
    run.finish("a", after=10.0)
    run.finish("b")
    assert run.left == pytest.approx(40.0)

    run.submit("c", "two")
    run.tell(ServerChanged("two", "u", "out", ServerStuck("hangs"), 60.0))
    run.now += 1000.0
    assert run.left == pytest.approx(80.0)

    run.tell(ServerChanged("two", "u", "back"))
    assert run.left == pytest.approx(40.0)


def test_a_server_that_is_drained_counts_for_as_long_as_it_has_anything() -> None:
    run = _Run("one", "two")
    run.submit("a", "one")
    run.submit("b", "two")
    run.finish("a", after=10.0)
    run.tell(ServerChanged("two", "u", "draining"))
    run.finish("b")

    assert run.left == pytest.approx(80.0)


def test_a_job_that_is_tried_again_has_done_nothing() -> None:
    run = _Run()
    run.submit("a")
    run.advance("a", 0.8, after=8.0)
    run.tell(JobRetried("a", "server_lost", "lost"))

    assert run.progress.share == 0.0


def test_a_failure_is_no_work_that_was_done_but_none_that_is_left() -> None:
    run = _Run()
    run.submit("a")
    run.finish("a", after=10.0)
    run.submit("b")
    run.finish("b", state="failed", after=0.1)

    assert run.progress.share == pytest.approx(0.2)
    assert run.left == pytest.approx(80.0, rel=0.02)


def test_jobs_that_were_not_begun_have_not_ended() -> None:
    run = _Run()
    run.finish("a", state="pending")

    assert (run.progress.finished, run.progress.share) == (0, 0.0)


def test_jobs_of_one_graph_are_as_far_as_that() -> None:
    run = _Run()
    for job_id in "ab":
        run.submit(job_id, prompt_id="together")
    run.advance("a", 0.25, after=5.0)
    run.advance("b", 0.5)

    assert run.progress.share == pytest.approx(0.1)


def test_what_earlier_runs_took_tells_at_once_and_gives_way_to_what_this_one_takes() -> None:
    run = _Run(seconds=100.0)
    assert run.left == pytest.approx(100.0)

    for job_id in _JOBS[:9]:
        run.submit(job_id)
        run.finish(job_id, after=20.0)

    assert 17.0 < (run.left or 0.0) < 20.0


def test_events_of_jobs_that_nobody_has_are_no_mistake() -> None:
    run = _Run()
    run.tell(JobWaiting("a", 1), JobProgressed("b", "x", 0, 0, 0.5), JobRetried("c", "server_lost", "x"))
    run.finish("d")

    assert run.progress.share == pytest.approx(0.1)
