"""How long a plan will take, by what earlier jobs took: those of its run folder, else of the run folders beside it.

Only looks at ledgers; one that cannot be read tells nothing, and is no error here.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from comfy_runner.errors import RunFolderError
from comfy_runner.scheduling.backlog import Costs
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import ServerSpeed

_MOST_BESIDE = 5
_JOBS_A_LOAD = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the server will work.

    Attributes:
        seconds: The time, loads of models included as far as the earlier jobs had them.
        server: The URL of the server that the earlier jobs ran on.
        jobs: How many earlier jobs it is by; 0 for a guess.
        guessed_by: The GPU whose published figures a guess is by (`first_guess`); empty where earlier jobs tell.
    """

    seconds: float
    server: str
    jobs: int
    guessed_by: str = ""


class WithBoundedLoads:
    """What results cost, where loading models counts no more than some jobs do, or nothing, as in the work that ledgers record.

    The catalogue's loads are guessed for pictures of the usual size. Besides small ones, which take a server longer than their
    weighted steps say, they would weigh so much that no second server was ever worth its load.

    Args:
        costs: What results cost.
        most: What a load costs at most, in sampler steps at 1024x576 pixels.
    """

    def __init__(self, costs: Costs, most: float = 0.0) -> None:
        self._costs, self._most = costs, most
        self.kind = costs.kind

    @classmethod
    def of(cls, costs: Costs, jobs: Iterable[tuple[int, ...]]) -> Self:
        """Return what the results of these jobs cost, a load at most as much as two usual ones of them."""
        works = [sum(map(cls(costs).cost, job)) for job in jobs]
        return cls(costs, _JOBS_A_LOAD * statistics.median(works) if works else 0.0)

    def cost(self, step: int, /) -> float:
        """Return what making a result costs, in sampler steps at 1024x576 pixels."""
        cost = self._costs.cost(step)
        return min(cost, self._most) if self.kind(step) == "load" else cost


def fitting_speed(speeds: Iterable[Sequence[ServerSpeed]], *, server: str = "", alone: bool = False) -> ServerSpeed | None:
    """Return the speed to reckon with; None where no earlier jobs tell.

    Args:
        speeds: What is known of earlier jobs, the most telling first.
        server: The URL of the server, if it is known; the speed of another one is the last resort.
        alone: Whether that of another one tells nothing.
    """
    known = [speed for some in speeds for speed in _most_first(some) if speed.work > 0 and speed.seconds > 0]
    return next((speed for speed in known if speed.server == server), None if alone or not known else known[0])


def earlier_speeds(path: Path, ledger: Ledger | None) -> list[list[ServerSpeed]]:
    """Return what is known of earlier jobs: of the run folder's, then of those in the newest run folders beside it.

    Args:
        path: The run folder, which need not be there.
        ledger: Its ledger; None where there is none.
    """
    return [ledger.speeds() if ledger else [], *map(_speeds, _beside(path))]


def _most_first(speeds: Sequence[ServerSpeed]) -> list[ServerSpeed]:
    return sorted(speeds, key=lambda speed: -speed.jobs)


def _beside(path: Path) -> Iterator[Path]:
    """Yield the ledgers of the newest run folders beside one."""
    found = []
    with contextlib.suppress(OSError):
        for other in path.absolute().parent.iterdir():
            with contextlib.suppress(OSError):
                if other.name != path.absolute().name:
                    found.append(((other / FILE).stat().st_mtime, other / FILE))
    yield from (file for _, file in sorted(found, reverse=True)[:_MOST_BESIDE])


def _speeds(path: Path) -> list[ServerSpeed]:
    with contextlib.suppress(RunFolderError), Ledger(path, readonly=True) as ledger:
        return ledger.speeds()
    return []
