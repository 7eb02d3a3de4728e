"""What browsers are told: the newest of what has changed, however long they were away."""

from __future__ import annotations

import json
from typing import Any

from comfy_runner.watch.feed import Feed


def _since(feed: Feed, cursor: str) -> tuple[str, dict[str, Any]]:
    number, text = feed.since(feed.number(cursor))
    return feed.cursor_at(number), json.loads(text)


def test_a_browser_is_told_the_newest_of_each_value_that_has_changed_since() -> None:
    feed = Feed()
    feed.put({"run": 1, "job:a": {"state": "pending"}, "job:b": 1})
    cursor, everything = _since(feed, "")

    for number in range(100):
        feed.put({"run": number})
    feed.put({"job:a": {"state": "done"}})

    assert everything == {"run": 1, "job:a": {"state": "pending"}, "job:b": 1}
    assert _since(feed, cursor) == (feed.cursor, {"run": 99, "job:a": {"state": "done"}})
    assert _since(feed, feed.cursor)[1] == {}


def test_what_is_as_it_was_is_no_change() -> None:
    feed = Feed()
    feed.put({"run": [1, 2]})
    before = feed.cursor

    feed.put({"run": [1, 2], "preview:a": None})

    assert feed.cursor == before


def test_a_value_that_is_over_is_told_as_none() -> None:
    feed = Feed()
    feed.put({"preview:a": 1})
    cursor = feed.cursor

    feed.put({"preview:a": None})

    assert _since(feed, cursor)[1] == {"preview:a": None}


def test_a_cursor_of_another_feed_or_none_at_all_is_given_everything() -> None:
    feed, other = Feed(), Feed()
    feed.put({"run": 1})
    other.put({"run": 1})

    epoch = feed.cursor.partition("-")[0]
    for cursor in (other.cursor, "", "-1", "x-1", f"{epoch}-2", f"{epoch}--1", f"{epoch}-\u0661", f"{epoch}-{'9' * 5000}"):
        assert _since(feed, cursor)[1] == {"run": 1}, cursor
