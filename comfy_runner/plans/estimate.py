"""How long a plan will take, by what earlier jobs took: those of its run folder, else of the run folders beside it.

Only looks at ledgers; one that cannot be read tells nothing, and is no error here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.errors import RunFolderError
from comfy_runner.folder.ledger import FILE, Ledger, open_ledger
from comfy_runner.folder.rows import Speed
from comfy_runner.plans.passes import Catalogue

_MOST_BESIDE = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the server will work.

    Attributes:
        seconds: The time, loads of models included as far as the earlier jobs had them.
        server: The URL of the server that the earlier jobs ran on.
        jobs: How many earlier jobs it is by.
    """

    seconds: float
    server: str
    jobs: int


class WithoutLoads:
    """A catalogue in which loading models costs nothing, as in the work that ledgers record.

    Args:
        steps: The catalogue.
    """

    def __init__(self, steps: Catalogue) -> None:
        self.column, self.kind = steps.column, steps.kind
        self._cost = steps.cost

    def cost(self, step: int, /) -> float:
        """Return what making a result costs, in sampler steps at 1024x576 pixels."""
        return 0.0 if self.kind(step) == "load" else self._cost(step)


def fitting_speed(speeds: Iterable[Sequence[Speed]], *, server: str = "") -> Speed | None:
    """Return the speed to reckon with; None where no earlier jobs tell.

    Args:
        speeds: What is known of earlier jobs, the most telling first.
        server: The URL of the server, if it is known; the speed of another one is the last resort.
    """
    known = [speed for some in speeds for speed in _most_first(some) if speed.work > 0 and speed.seconds > 0]
    return next((speed for speed in known if speed.server == server), known[0] if known else None)


def earlier_speeds(path: Path, ledger: Ledger | None) -> list[list[Speed]]:
    """Return what is known of earlier jobs: of the run folder's, then of those in the newest run folders beside it.

    Args:
        path: The run folder, which need not be there.
        ledger: Its ledger; None where there is none.
    """
    return [ledger.speeds() if ledger else [], *map(_speeds, _beside(path))]


def _most_first(speeds: Sequence[Speed]) -> list[Speed]:
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


def _speeds(path: Path) -> list[Speed]:
    with contextlib.suppress(RunFolderError), open_ledger(path, readonly=True) as ledger:
        return ledger.speeds()
    return []
