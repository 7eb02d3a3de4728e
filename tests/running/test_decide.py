"""What a run does about what it is told, one message at a time."""

from __future__ import annotations

import pytest

from comfy_runner.engine import reports
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.verdict import Conclusion, Failure
from comfy_runner.errors import ComfyRunnerError, JobLost, RunFolderError, ServerRefused, ServerStuck
from comfy_runner.running import actions as do
from comfy_runner.running.events import JobRetried, ServerChanged
from comfy_runner.running.in_flight import Left
from comfy_runner.running.messages import Cancel, Joined, Tick
from comfy_runner.running.policy import Backoff, Policy
from comfy_runner.store.ledger_rows import KnownJob
from comfy_runner.store.states import Change
from tests.running.deciding import SILENT, Desk, candidate, of, posted_job, told, verdict

_NO = (reports.Complaint("make", "EmptyImage", "", "is not there"),)


def _two() -> tuple[Desk, str, str]:
    """Return a run of two servers with one job each, and what these have."""
    desk = Desk(2, [candidate("a"), candidate("b")], policy=Policy(in_flight=1))
    keys = {each.worker: each.submission.prompt_id for each in of(do.Submit, desk.begun)}
    desk.tell(*(reports.Submitted(key, key) for key in keys.values()))
    return desk, keys["a"], keys["b"]


def _refused(status: int) -> ServerRefused:
    error = ServerRefused("no", where="a")
    error.status = status
    return error


def _left(desk: Desk, *, is_read: bool = True, content_hash: str = "") -> Left:
    """Return what an earlier process has posted of the first job."""
    job_id = desk.ids[0]
    posted = Submission.of("left", [posted_job(job_id, content_hash or _hash(desk))]) if is_read else None
    return Left("left", "a", "", () if content_hash else (job_id,), posted, {job_id: {}})


def _hash(desk: Desk) -> str:
    draft = desk.state.jobs[desk.ids[0]].draft
    assert draft is not None
    return draft.content_hash


# One server


def test_what_is_posted_is_in_the_ledger_before() -> None:
    desk = Desk(3)

    kinds = [type(action) for action in desk.begun if isinstance(action, do.Record | do.Submit)]
    assert kinds == [do.Record, do.Submit] * 2  # two in flight, and one waits

    actions = desk.tell(reports.Submitted("key-1", "key-1"), reports.Finished("key-1", verdict()))
    assert [each.submission.prompt_id for each in of(do.Submit, actions)] == ["key-3"]
    assert told(desk.tell(desk.collected("key-1"))) == {desk.ids[0]: "done"}


def test_a_single_server_that_is_silent_ends_the_run_and_its_jobs_stay_submitted() -> None:
    desk = Desk(2)

    actions = desk.tell(reports.Broken("key-1", SILENT), reports.Broken("key-2", SILENT))

    assert not of(do.Settle, actions)
    assert not desk.goes_on()
    assert {result.error for result in desk.finish().values()} == {SILENT}


def test_what_a_server_has_forgotten_is_looked_for_by_its_names() -> None:
    desk = Desk(1)

    (collect,) = of(do.Collect, desk.tell(reports.Broken("key-1", JobLost("is gone"))))
    assert collect.verdict is None

    actions = desk.tell(desk.collected("key-1", error=JobLost("is gone")))
    assert of(do.Settle, actions)[0].change is Change.LOST
    assert [each.reason for each in of(JobRetried, actions)] == ["server_lost"]
    assert [each.submission.job_ids for each in of(do.Submit, actions)] == [(desk.ids[0],)]


def test_a_picture_that_cannot_be_kept_ends_the_run() -> None:
    desk = Desk(1)
    desk.tell(reports.Finished("key-1", verdict()))

    desk.tell(desk.collected("key-1", RunFolderError("is full")))

    assert not desk.goes_on()
    assert [str(error) for error in desk.state.kept] == ["lake-s1: is full"]


def test_a_refused_job_fails_and_the_next_one_is_posted() -> None:
    desk = Desk(3)

    actions = desk.tell(reports.Refused("key-1", _NO))

    assert told(actions) == {desk.ids[0]: "failed"}
    assert len(of(do.Submit, actions)) == 1


def test_jobs_that_were_refused_together_are_asked_for_alone() -> None:
    desk = Desk(3, [candidate("a", cache="none")], policy=Policy(in_flight=1))
    assert [each.submission.job_ids for each in of(do.Submit, desk.begun)] == [tuple(desk.ids)]

    actions = desk.tell(reports.Refused("key-1", _NO))

    assert [each.submission.job_ids for each in of(do.Submit, actions)] == [(desk.ids[0],)]


def test_an_interruption_takes_everything_back_and_waits_only_so_long() -> None:
    desk = Desk(3)
    desk.tell(reports.Submitted("key-1", "key-1"))

    actions = desk.tell(Cancel(seconds=30.0))
    assert of(do.StopWaiting, actions)
    assert of(do.CancelOn, actions) == [do.CancelOn("a", ("key-1", "key-2"))]
    assert told(desk.tell(reports.Cancelled("key-1"))) == {desk.ids[0]: "cancelled"}

    assert desk.goes_on(after=29.0)
    assert not desk.goes_on(after=2.0)
    results = desk.finish()
    assert [results[job_id].state for job_id in desk.ids] == ["cancelled", "submitted", "pending"]
    assert [type(error) for error in desk.state.kept] == [ServerStuck]


# Several servers


def test_what_one_server_refuses_another_one_does_until_none_is_left() -> None:
    desk, on_a, on_b = _two()
    first = desk.state.submissions[on_a].submission.job_ids

    actions = desk.tell(reports.Refused(on_a, _NO))
    assert not of(do.Submit, actions)
    actions = desk.tell(reports.Finished(on_b, verdict()))
    (again,) = of(do.Submit, actions)
    assert (again.worker, again.submission.job_ids) == ("b", first)

    actions = desk.tell(reports.Refused(again.submission.prompt_id, _NO))
    assert told(actions) == {first[0]: "failed"}


@pytest.mark.parametrize(("status", "is_out"), [(413, False), (401, True), (503, True)])
def test_a_refusal_is_about_what_was_posted_or_about_the_server(status: int, is_out: bool) -> None:
    desk, on_a, _ = _two()

    actions = desk.tell(reports.Broken(on_a, _refused(status)))

    assert [each.stage for each in of(ServerChanged, actions)] == (["out"] if is_out else [])
    assert bool(of(do.Release, actions)) == is_out
    assert [each.change for each in of(do.Settle, actions)] == ([] if is_out else [Change.LOST])


def test_a_silent_server_is_asked_again_later_each_time_and_trusted_again_after_a_job() -> None:
    desk, on_a, _ = _two()
    pauses: list[float] = []
    for _ in range(4):
        actions = desk.tell(reports.Broken(on_a, SILENT) if not pauses else desk.examined("a", SILENT))
        pauses.append(of(ServerChanged, actions)[0].seconds)
        assert not of(do.Examine, desk.tell(Tick(), after=pauses[-1] - 0.1))
        assert of(do.Examine, desk.tell(Tick(), after=0.2)) == [do.Examine("a")]
    assert pauses == [2.0, 4.0, 8.0, 16.0]
    assert Backoff().pause(1000) == 60.0

    actions = desk.tell(desk.examined("a"))
    assert [each.stage for each in of(ServerChanged, actions)] == ["back"]
    assert desk.state.places(desk.state.workers["a"]) == 1
    desk.tell(reports.Submitted(on_a, on_a), reports.Finished(on_a, verdict()))
    assert desk.state.workers["a"].failures == 0


def test_what_an_orphan_has_finished_is_taken_from_who_works_at_it() -> None:
    desk, on_a, on_b = _two()
    desk.tell(reports.Broken(on_a, SILENT))
    (again,) = of(do.Submit, desk.tell(reports.Finished(on_b, verdict())))
    desk.tell(Tick(), after=3.0)

    actions = desk.tell(desk.examined("a"))
    assert [(each.worker, each.submission.prompt_id) for each in of(do.Attach, actions)] == [("a", on_a)]
    actions = desk.tell(reports.Submitted(on_a, on_a))
    assert of(do.CancelOn, actions) == [do.CancelOn("a", (on_a,))]  # the other one has begun
    actions = desk.tell(reports.Finished(on_a, verdict()))

    assert of(do.Retake, actions) == [do.Retake(on_a, again.submission.job_ids)]
    assert of(do.CancelOn, actions) == [do.CancelOn("b", (again.submission.prompt_id,))]
    assert told(desk.tell(desk.collected(on_a))) == {again.submission.job_ids[0]: "done"}
    assert of(do.Forget, desk.tell(reports.Cancelled(again.submission.prompt_id)))


def test_an_orphan_that_nobody_has_begun_goes_on_where_it_is() -> None:
    desk, on_a, _ = _two()
    desk.tell(reports.Broken(on_a, SILENT), Tick())
    desk.tell(Tick(), after=3.0)

    actions = desk.tell(desk.examined("a"), reports.Submitted(on_a, on_a))

    assert of(do.Retake, actions)
    assert not of(do.CancelOn, actions)
    desk.tell(reports.Finished(on_a, verdict()))
    assert list(told(desk.tell(desk.collected(on_a))).values()) == ["done"]


def test_an_orphan_that_is_gone_is_closed_once_others_have_its_jobs() -> None:
    desk, on_a, on_b = _two()
    desk.tell(reports.Broken(on_a, SILENT))
    desk.tell(reports.Finished(on_b, verdict()))
    desk.tell(Tick(), after=3.0)
    desk.tell(desk.examined("a"))

    actions = desk.tell(reports.Broken(on_a, JobLost("is gone")))

    assert of(do.Forget, actions) == [do.Forget(on_a)]
    assert on_a not in desk.state.submissions


def test_a_picture_that_cannot_be_fetched_comes_back_with_its_server() -> None:
    desk, on_a, _ = _two()
    desk.tell(reports.Finished(on_a, verdict()))

    actions = desk.tell(desk.collected(on_a, SILENT))
    assert of(do.Release, actions) == [do.Release(on_a)]
    assert [each.stage for each in of(ServerChanged, actions)] == ["out"]
    desk.tell(Tick(), after=3.0)
    actions = desk.tell(desk.examined("a"))

    assert [each.submission.prompt_id for each in of(do.Attach, actions)] == [on_a]
    assert of(do.Retake, actions)


def test_two_jobs_running_that_fail_of_the_gpu_put_a_server_out() -> None:
    broken = verdict(Conclusion.FAILED, Failure("make", "EmptyImage", "AcceleratorError", "CUDA error: an illegal memory access"))
    desk = Desk(4, [candidate("a"), candidate("b")], policy=Policy(in_flight=1))
    on_a = next(each.submission.prompt_id for each in of(do.Submit, desk.begun) if each.worker == "a")

    actions = desk.tell(reports.Finished(on_a, broken))
    assert not of(ServerChanged, actions)
    (again,) = (each.submission.prompt_id for each in of(do.Submit, actions) if each.worker == "a")
    actions = desk.tell(reports.Finished(again, broken))

    assert [each.stage for each in of(ServerChanged, actions)] == ["out"]


def test_a_server_is_added_and_drained() -> None:
    desk = Desk(4, policy=Policy(in_flight=1))
    actions = desk.tell(desk.changes("add", "b"))
    assert [each.candidate.name for each in of(do.Enlist, actions)] == ["b"]
    assert of(do.Examine, actions) == [do.Examine("b")]
    actions = desk.tell(desk.examined("b"))
    assert [each.stage for each in of(ServerChanged, actions)] == ["joined"]
    assert [each.worker for each in of(do.Submit, actions)] == ["b"]

    actions = desk.tell(desk.changes("drain", "a"))
    assert [each.stage for each in of(ServerChanged, actions)] == ["draining"]
    assert not of(do.Submit, desk.tell(reports.Finished("key-1", verdict())))
    assert of(do.Answer, desk.tell(desk.changes("drain", "c")))[0].error == "c is not part of this run"
    desk.tell(desk.changes("add", "a"))
    assert [each.worker for each in of(do.Submit, desk.tell(desk.examined("a")))] == ["a"]


def test_an_engine_that_comes_up_takes_part_when_it_answers() -> None:
    desk = Desk(4, policy=Policy(in_flight=1))

    actions = desk.tell(Joined(candidate("b", is_silent=True)))

    assert [each.candidate.name for each in of(do.Enlist, actions)] == ["b"]
    assert of(do.Examine, actions) == [do.Examine("b")]
    assert [each.worker for each in of(do.Submit, desk.tell(desk.examined("b")))] == ["b"]


def test_where_nobody_comes_back_the_run_ends_with_the_reasons() -> None:
    desk = Desk(1, [candidate("a"), candidate("b", is_silent=True)])
    desk.tell(reports.Broken("key-1", SILENT))

    assert desk.goes_on(after=1.0)
    assert not desk.goes_on(after=70.0)
    assert str(desk.state.stopped).splitlines() == ["is silent"] * 2


def test_where_nobody_is_left_the_run_says_so() -> None:
    desk = Desk(3, policy=Policy(in_flight=1))
    desk.tell(desk.changes("drain", "a"))
    desk.tell(reports.Finished("key-1", verdict()))
    desk.tell(desk.collected("key-1"))

    assert not desk.goes_on()
    assert "no server is left" in str(desk.state.stopped)


# What earlier processes have left


def _with_left(
    *servers: str, is_read: bool = True, content_hash: str = "", is_silent: bool = False, take_back: Cancel | None = None
) -> Desk:
    """Return a run of one job, of which ``a`` may have what it is, or what it was before it was changed."""
    plan = Desk(1)
    known = {plan.ids[0]: KnownJob(_hash(plan), "pending" if content_hash else "submitted")}
    left = [_left(plan, is_read=is_read, content_hash=content_hash)]
    candidates = [candidate("a", is_silent=is_silent), *map(candidate, servers)]
    return Desk(1, candidates, left=left, known=known, awaited=0 if content_hash else 1, take_back=take_back)


def test_what_is_left_is_looked_for_and_collected() -> None:
    desk = _with_left()
    assert [each.submission.prompt_id for each in of(do.Attach, desk.begun)] == ["left"]

    desk.tell(reports.Finished("left", verdict()))

    assert told(desk.tell(desk.collected("left"))) == {desk.ids[0]: "done"}


def test_what_nobody_can_read_is_taken_back_and_done_anew() -> None:
    desk = _with_left(is_read=False)
    assert of(do.CancelOn, desk.tell(reports.Submitted("left", "left"))) == [do.CancelOn("a", ("left",))]

    actions = desk.tell(reports.Cancelled("left"))

    assert of(do.Forget, actions) == [do.Forget("left")]
    assert [each.submission.job_ids for each in of(do.Submit, actions)] == [(desk.ids[0],)]


@pytest.mark.parametrize("error", [None, JobLost("is gone")])
def test_a_job_that_was_changed_is_posted_once_what_it_was_is_gone(error: ComfyRunnerError | None) -> None:
    desk = _with_left(content_hash="0" * 64)
    assert not of(do.Submit, desk.begun)
    assert of(do.CancelOn, desk.tell(reports.Submitted("left", "left"))) == [do.CancelOn("a", ("left",))]

    actions = desk.tell(reports.Broken("left", error) if error else reports.Cancelled("left"))
    if error:
        actions += desk.tell(desk.collected("left", error=error))

    assert of(do.Forget, actions)
    assert [each.submission.job_ids for each in of(do.Submit, actions)] == [(desk.ids[0],)]


def test_what_a_silent_server_may_have_is_given_to_others() -> None:
    desk = _with_left("b", is_silent=True)

    assert of(do.Release, desk.begun) == [do.Release("left")]
    assert [each.worker for each in of(do.Submit, desk.begun)] == ["b"]
    actions = desk.finish()
    assert actions[desk.ids[0]].state == "submitted"


def test_what_is_only_taken_back_is_cancelled_as_soon_as_it_is_found() -> None:
    desk = _with_left(take_back=Cancel("cancelled", 30.0))
    assert [each.submission.prompt_id for each in of(do.Attach, desk.begun)] == ["left"]

    assert of(do.CancelOn, desk.tell(reports.Submitted("left", "left"))) == [do.CancelOn("a", ("left",))]
    assert told(desk.tell(reports.Cancelled("left"))) == {desk.ids[0]: "cancelled"}
