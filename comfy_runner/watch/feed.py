"""What browsers that watch a run are told: named values, each with the moment of its last change.

There is no queue for each browser. A browser says up to which change it knows everything, its cursor, and is given the newest of
all values that have changed since, each once. So one that reads nothing costs nothing, one that comes back after an hour is given
what it missed as one message, and whoever puts a value in never waits for anybody.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from threading import Lock
from typing import Any


class Feed:
    """The newest values of all names, for any number of threads; cursors of another feed, or none, are given everything.

    Attributes:
        changes: How often a value has changed.
        given: How many messages were made for browsers.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._epoch = secrets.token_hex(4)
        # By their last change, oldest first: the change's number, and the value as JSON.
        self._values: dict[str, tuple[int, str]] = {}
        # Browsers that keep up all ask for the same: since which change, up to which, and what they were given.
        self._made = (-1, -1, "")
        self.changes = self.given = 0

    @property
    def cursor(self) -> str:
        """Return the cursor of a browser that knows everything."""
        return f"{self._epoch}-{self.changes}"

    def put(self, values: Mapping[str, Any]) -> None:
        """Tell the newest values of these names; those that are as they were are no change.

        Args:
            values: By name, as JSON has them. None for a name that there is no more.
        """
        texts = {name: json.dumps(value, separators=(",", ":"), allow_nan=False) for name, value in values.items()}
        with self._lock:
            for name, text in texts.items():
                if self._values.get(name, (0, "null"))[1] != text:
                    self.changes += 1
                    self._values.pop(name, None)
                    self._values[name] = self.changes, text

    def now(self) -> tuple[str, dict[str, Any]]:
        """Return all values by name, and the cursor of a browser that is given them."""
        with self._lock:
            return f"{self._epoch}-{self.changes}", {name: json.loads(text) for name, (_, text) in self._values.items()}

    def number(self, cursor: str) -> int:
        """Return up to which change a browser knows everything: 0 for a cursor that is none of this feed's."""
        epoch, _, number = cursor.partition("-")
        is_ours = epoch == self._epoch and number.isascii() and number.isdecimal() and len(number) < 20
        return int(number) if is_ours and int(number) <= self.changes else 0

    def since(self, number: int) -> tuple[int, str]:
        """Return what has changed since, as a JSON object of the newest values by name; and the number of the last change.

        Args:
            number: Up to which change everything is known.
        """
        with self._lock:
            self.given += 1
            if self._made[:2] != (number, self.changes):
                found = []
                for name, (changed, text) in reversed(self._values.items()):
                    if changed <= number:
                        break
                    found.append(f"{json.dumps(name)}:{text}")
                self._made = number, self.changes, f"{{{','.join(reversed(found))}}}"
            return self.changes, self._made[2]

    def cursor_at(self, number: int) -> str:
        """Return the cursor for a change."""
        return f"{self._epoch}-{number}"
