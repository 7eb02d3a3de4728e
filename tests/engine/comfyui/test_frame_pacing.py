"""Progress is handed on as often as it is wanted, ends and pictures at once, and a socket is left alone only between steps."""

from __future__ import annotations

import pytest

from comfy_runner.engine.comfyui.frame_pacing import FramePacer
from comfy_runner.engine.comfyui.ws_messages import Ended, Frame, Picture
from comfy_runner.engine.reports import CachedNodes, NodeProgress

_ENDS = (Ended("p"), Picture("p", "save", b""))


def _step(number: int, *, node: str = "sampler", steps: int = 20) -> NodeProgress:
    return NodeProgress("p", node, number, steps)


def _sampling(*moments: tuple[int, float], steps: int = 20) -> FramePacer:
    """Return a pacer that has handed on something a moment ago, and has seen these steps at these times."""
    pacer = FramePacer(interval=100.0)
    pacer.take(Ended("before"), 0.0)
    pacer.take(CachedNodes("p", ()), 0.0)
    assert pacer.due(0.0)
    for number, at in moments:
        assert not pacer.take(_step(number, steps=steps), at)
    return pacer


def test_without_an_interval_everything_is_handed_on_at_once() -> None:
    pacer = FramePacer()
    frames: list[Frame] = [CachedNodes("p", ()), NodeProgress("p", "sampler", 0, 0), *map(_step, range(1, 21)), Ended("p")]
    assert [pacer.take(frame, 0.1 * number) for number, frame in enumerate(frames)] == [[frame] for frame in frames]
    assert pacer.wait(0.0) is None


@pytest.mark.parametrize("end", _ENDS)
def test_what_ends_something_goes_at_once_after_all_that_came_before_it(end: Ended | Picture) -> None:
    pacer = FramePacer(interval=10.0)
    cached, other = CachedNodes("p", ("load",)), NodeProgress("p", "decode", 0, 0)
    for frame in (cached, NodeProgress("p", "sampler", 0, 0), _step(1), _step(2), other):
        assert pacer.take(frame, 0.0) == []
    assert pacer.take(end, 0.0) == [cached, _step(2), other, end]
    assert pacer.wait(0.0) is None


def test_progress_goes_once_in_an_interval_and_it_is_the_newest() -> None:
    pacer = FramePacer(interval=10.0)
    pacer.take(_step(1), 0.0)
    assert pacer.due(0.0) == [_step(1)]
    pacer.take(_step(2), 1.0)
    assert pacer.due(1.0) == []
    assert pacer.wait(1.0) == 9.0
    pacer.take(_step(3), 2.0)
    assert pacer.due(10.0) == [_step(3)]
    assert pacer.wait(10.0) is None


def test_how_many_pictures_a_node_sends_is_not_forgotten_for_its_being_told_of_again() -> None:
    pacer = FramePacer(interval=10.0)
    for frame in (_step(2, node="save", steps=4), NodeProgress("p", "save", 0, 0)):
        pacer.take(frame, 0.0)
    assert _step(2, node="save", steps=4) in pacer.due(0.0)


def test_a_socket_is_left_alone_for_half_of_the_time_that_its_sampler_needs_still() -> None:
    assert _sampling((1, 0.0), (2, 0.1)).rest(0.1) == pytest.approx(0.9)
    assert _sampling((10, 0.0), (14, 0.4)).rest(0.4) == pytest.approx(0.3)
    assert _sampling((1, 0.0), (2, 5.0)).rest(5.0) == 1.0


def test_a_socket_is_left_alone_again_after_several_steps_that_were_read_at_once() -> None:
    assert _sampling((1, 0.0), (2, 0.1), (9, 1.0), (10, 1.0), (11, 1.0)).rest(1.0) == pytest.approx(0.45)


@pytest.mark.parametrize(
    "moments", [[], [(1, 0.0)], [(19, 0.0), (20, 0.1)], [(18, 0.0), (19, 0.01)]], ids=["nothing", "first", "last", "soon"]
)
def test_a_socket_is_not_left_alone_where_an_end_may_be_near_or_nothing_is_known(moments: list[tuple[int, float]]) -> None:
    assert _sampling(*moments).rest(moments[-1][1] if moments else 0.0) == 0.0


def test_a_socket_is_not_left_alone_for_longer_than_until_progress_is_wanted() -> None:
    pacer = _sampling((1, 0.0), (2, 1.0))
    pacer.interval = 1.5
    assert pacer.rest(1.0) == pytest.approx(0.5)


def test_a_socket_is_not_left_alone_after_an_end_in_another_node_or_where_pictures_come() -> None:
    ended, changed, previewed = (_sampling((1, 0.0), (2, 0.1)) for _ in range(3))
    ended.take(Ended("p"), 0.1)
    changed.take(NodeProgress("p", "decode", 0, 0), 0.1)
    previewed.see_picture()
    assert [pacer.rest(0.1) for pacer in (ended, changed, previewed)] == [0.0, 0.0, 0.0]
