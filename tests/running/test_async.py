"""A run in an event loop: the same events from the same queue, and a task that is cancelled takes none of them and no job."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from comfy_runner import Event, JobFinished, RunFinished, RunStarted
from comfy_runner.running.handle import Run
from tests.running.support import begin, sweep
from tests.standin import StandIn

_Result = TypeVar("_Result")


def _in_a_loop(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in a thread of its own: that of the tests has a loop of the browser's, where one was started before."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


async def _all(run: Run) -> list[Event]:
    return [event async for event in run]


def test_events_come_as_without_async_and_results_say_what_the_jobs_are(server: StandIn, tmp_path: Path) -> None:
    run = begin(server, tmp_path / "run", sweep({"seed": [5, 6], "upscale.denoise": [0.4]}))

    events = _in_a_loop(_all(run))

    assert isinstance(events[0], RunStarted)
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert last.results == run.results()
    told = [event.result for event in events if isinstance(event, JobFinished)]
    assert sorted(told, key=attrgetter("job_id")) == list(run.results())
    assert [(result.seed, result.prompt, dict(result.values)) for result in run.results()] == [
        (seed, "a lake", {"seed": seed, "upscale.denoise": 0.4}) for seed in (5, 6)
    ]
    assert _in_a_loop(_all(run)) == []


def test_a_cancelled_task_takes_no_event_and_no_job(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    run = begin(server, tmp_path / "run")

    async def cancelled() -> list[Event]:
        seen: list[Event] = []

        async def follow() -> None:
            async for event in run:
                await asyncio.sleep(0)
                seen.append(event)

        following = asyncio.create_task(follow())
        await asyncio.to_thread(gate.wait)  # the job runs, and nothing more is told of it
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return seen

    before = _in_a_loop(cancelled())
    gate.open()
    after = list(run)

    assert isinstance(before[0], RunStarted)
    assert isinstance(after[-1], RunFinished)
    assert [result.state for result in run.results()] == ["done"]
    assert len([event for event in [*before, *after] if isinstance(event, JobFinished)]) == 1
    assert server.state.requests("POST", "/interrupt") == []


def test_leaving_async_with_cancels_as_with_does(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")

    async def left() -> Run:
        async with begin(server, tmp_path / "run") as run:
            await asyncio.to_thread(gate.wait)
        return run

    run = _in_a_loop(left())

    assert [result.state for result in run.results()] == ["cancelled"]


def test_a_notebook_shows_a_run_that_goes_on_and_one_that_has_ended(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("second_pass")
    with begin(server, tmp_path / "run") as run:
        gate.wait()
        assert "1 job, still running" in run._repr_html_()
        gate.open()
        run.results()

    assert "1 done" in run._repr_html_()
    assert run._repr_html_().count("data:image/webp") == 2


def test_a_prompt_that_is_filled_in_is_told_as_the_model_gets_it(server: StandIn, tmp_path: Path) -> None:
    recipe = sweep({"vars.animal": ["fox", "owl"]}, prompt="a {animal} at a lake", vars={"animal": "fox"})

    results = begin(server, tmp_path / "run", recipe).results()

    assert [result.prompt for result in results] == ["a fox at a lake", "a owl at a lake"]
    assert [dict(result.values) for result in results] == [{"vars.animal": "fox"}, {"vars.animal": "owl"}]
