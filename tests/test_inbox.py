"""Messages between threads: each arrives once and in order, and no wait is longer than was asked for."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from comfy_runner.inbox import Inbox
from tests.sources import FILES
from tests.standin import HELD

_SHORT = 1e-6
"""Seconds that are over before a wait for them begins."""


def _ends(work: Callable[[], object]) -> bool:
    """Return whether it comes to its end; on a thread that, if not, holds up nobody."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HELD)
    return not thread.is_alive()


def test_a_wait_that_is_over_before_it_begins_ends() -> None:
    """Of those of a `queue.SimpleQueue` one in some thousand does not."""

    def wait() -> None:
        for _ in range(4000):
            with suppress(queue.Empty):
                Inbox[int]().get(timeout=_SHORT)

    assert _ends(wait)


def test_everything_arrives_once_and_in_order_however_short_the_waits_are() -> None:
    inbox, taken = Inbox[int](), list[int]()

    def take() -> None:
        while len(taken) < 3000:
            with suppress(queue.Empty):
                taken.append(inbox.get(timeout=_SHORT))

    def give() -> None:
        for number in range(3000):
            inbox.put(number)

    giving = threading.Thread(target=give)
    giving.start()
    assert _ends(take)
    giving.join()
    assert taken == list(range(3000))


def test_a_wait_without_a_limit_ends_with_the_next_item() -> None:
    inbox = Inbox[str]()
    timer = threading.Timer(0.01, inbox.put, ["here"])
    timer.start()

    assert inbox.get() == "here"
    with pytest.raises(queue.Empty):
        inbox.get(block=False)


def test_nobody_waits_by_the_clock_for_another_queue() -> None:
    """`queue.Queue` may not be put to in a signal handler; why not `queue.SimpleQueue` is said in `inbox`."""
    users = [path.name for path in FILES if re.search(r"\bqueue\.\w*Queue\b", path.read_text(encoding="utf-8"))]

    assert users == ["inbox.py"]
