"""Which servers a job may be given to: those that can do it, without those that had better not get it.

Jobs that the same servers may get are of one kind, so that nobody has to look through all jobs for one that fits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Kind(NamedTuple):
    """What decides who may get a job.

    Attributes:
        unable: The sets of jobs that it is in of which some servers can do none: their numbers, as bits.
        avoided: The servers that are to get it only where no other one can do it.
        refused: The servers that do not get it again, even where it has to wait for another one.
    """

    unable: int = 0
    avoided: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


_PLAIN = Kind()


class Abilities:
    """The servers that get work, and which jobs each of them can do."""

    def __init__(self) -> None:
        self._sets: dict[frozenset[int], int] = {}
        self._unable: dict[int, int] = {}
        self._avoided: dict[int, frozenset[str]] = {}
        self._refused: dict[int, frozenset[str]] = {}
        self._bits: dict[str, int] = {}
        self._present: dict[str, int] = {}
        self._may: dict[Kind, frozenset[str]] = {}

    @property
    def version(self) -> int:
        """Return a number that is another one whenever kinds may have changed for other reasons than `avoid` and `refuse`."""
        return len(self._sets)

    def know(self, name: str, unable: Collection[int]) -> None:
        """Note which jobs a server cannot do."""
        key = frozenset(unable)
        if key and key not in self._sets:
            bit = self._sets[key] = 1 << len(self._sets)
            for job in key:
                self._unable[job] = self._unable.get(job, 0) | bit
        self._bits[name] = self._sets[key] if key else 0

    def count_on(self, names: Iterable[str]) -> None:
        """Note which servers get work, all of them known."""
        self._present = {name: self._bits[name] for name in names}
        self._may.clear()

    def avoid(self, job: int, name: str) -> None:
        """Note that a server is to get a job only where no other one can do it."""
        self._avoided[job] = self._avoided.get(job, frozenset()) | {name}

    def refuse(self, job: int, name: str) -> None:
        """Note that a server is not to get a job again, although it seemed to be able to do it."""
        self._refused[job] = self._refused.get(job, frozenset()) | {name}

    def kind(self, job: int) -> Kind:
        """Return of which kind a job is."""
        if not self._unable and not self._avoided and not self._refused:
            return _PLAIN
        return Kind(self._unable.get(job, 0), self._avoided.get(job, frozenset()), self._refused.get(job, frozenset()))

    def can(self, name: str, job: int) -> bool:
        """Return whether a server can do a job."""
        return not self._unable.get(job, 0) & self._bits[name] and name not in self._refused.get(job, frozenset())

    def may(self, kind: Kind) -> frozenset[str]:
        """Return the servers that may get jobs of a kind."""
        found = self._may.get(kind)
        if found is None:
            able = frozenset(name for name, bit in self._present.items() if not kind.unable & bit) - kind.refused
            found = self._may[kind] = able - kind.avoided or able
        return found
