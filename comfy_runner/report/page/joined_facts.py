"""What a page of several runs says of each: where it is, what is suggested, in what it differs from the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from comfy_runner.report.run_data import RUN, Entry, key
from comfy_runner.report.suggest import Limits, Point, Suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRun:
    """One of several runs on a page.

    Attributes:
        name: What it is called on the page.
        place: Its run folder, as people read it.
        url: Where the page finds its own report; empty where there is none.
        limits: What its pictures may have to be suggested.
        suggestion: The value to use; None where no axis was swept that could have one, or nothing was measured.
        axis: The axis along which it has a curve; empty where it has none.
        points: What was measured of each value there.
        differs: Its values, by name, of which others have other ones: model, size, versions and the like.
    """

    name: str
    place: str
    url: str
    limits: Limits
    suggestion: Suggestion | None = None
    axis: str = ""
    points: tuple[Point, ...] = ()
    differs: Mapping[str, str] = field(default_factory=dict)

    def has(self, entry: Entry) -> bool:
        """Return whether an entry is of this run."""
        return entry.values.get(RUN) == self.name

    def suggests(self, entry: Entry) -> bool:
        """Return whether an entry is of this run and has the value that is suggested for it."""
        found = self.suggestion
        return (
            self.has(entry)
            and found is not None
            and found.chosen is not None
            and key(entry.values.get(found.axis)) == key(found.chosen.value)
        )

    def facts(self) -> dict[str, object]:
        """Return what the page is given of it."""
        found = self.suggestion
        return {
            "name": self.name,
            "place": self.place,
            "url": self.url,
            "axis": self.axis,
            "points": [asdict(point) for point in self.points],
            "limits": asdict(self.limits),
            "chosen": found.chosen.label if found and found.chosen else None,
            "reason": found.reason if found else "",
            "differs": dict(self.differs),
        }
