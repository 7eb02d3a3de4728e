"""What is measured of an upscaled picture and its original: the numbers, their units, what they veto.

How they are measured is in `metrics`, and which picture is best in `suggest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from comfy_runner.report.near_copies import Fingerprint
from comfy_runner.search.choice import UNSEEN_DETAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """An upscaled picture held against its original. All are ratios or distances: 0 is what the plain upscale has.

    Attributes:
        drift: How far the composition has moved: 1 - SSIM of the luma at the original's size, after a global shift has been
            undone; 0 (the same) to 1 and, for opposites, 2.
        local_drift: The drift of the region that has drifted most, of about a sixteenth of the picture; same range.
        detail: Real detail that the plain upscale lacks: contrast above the original's Nyquist frequency that is neither noise
            nor blocks, as a share of the contrast in the original's own finest octave; 0 (none) to about 1, and down to -0.25
            where the original's own detail is lost.
        noise: Standard deviation of the noise that the original has not, in luma or colour, of full scale; 0 to 1.
        blocks: How much stronger steps are on a regular grid than elsewhere; 0 (not at all) to about 20.
        seams: Height of the highest straight step or line through the picture that the original has not, in 255ths; 0 to 255.
        halos: How much more contrast the original's fine structures have gained than its coarse ones, as a share; 0 upwards.
        colour_shift: Distance of the mean colours, CIE76 in Lab, at the original's size; 0 upwards, 2.3 is just visible.
        shift: How far the whole picture was moved, in pixels of the upscaled picture; 0 upwards.
        alignment: How far the fine structures run along the edges of the plain upscale; 1 where all do, 0 where they run anywhere,
            -1 where they run across.
        ringing: How many times more the original's very finest waves were amplified than the next, less 1; 0 upwards.
        repetition: How alike the fine structures are to themselves a few pixels away; 0 to 1.
        dead_areas: Share of the picture that is flat where the plain upscale is not; 0 to 1.
        vetoes: What rules the picture out whatever its detail, worst first: names of `check.thresholds.VETO_NAMES`
            (docs/metrics.md has the thresholds), then checks of installed packages; empty where nothing does.
        extra: What metrics of the user's own found, by name.
    """

    drift: float
    local_drift: float
    detail: float
    noise: float
    blocks: float
    seams: float
    halos: float
    colour_shift: float
    shift: float
    alignment: float = 0.0
    ringing: float = 0.0
    repetition: float = 0.0
    dead_areas: float = 0.0
    vetoes: tuple[str, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)


NUMBERS = (
    *("drift", "local_drift", "detail", "noise", "blocks", "seams", "halos", "colour_shift", "shift"),
    *("alignment", "ringing", "repetition", "dead_areas"),
)
"""The names of the numbers, in the order of tables."""


_ALIKE: Final = 0.12  # of the larger detail
_DRIFTED: Final = 0.05
"""Difference in `Measures.local_drift` that is seen: JPEG of quality 95 changes it by 0.01, lines bent by a pixel by more."""

_SHARPENED: Final = 0.025
"""Likewise in `Measures.halos`: JPEG of quality 95 changes it by 0.01, slight sharpening by 0.04 and more."""


def looks_alike(this: Measures, other: Measures) -> bool:
    """Return whether two pictures of one original can hardly be told apart, as far as their numbers say."""
    apart = abs(this.detail - other.detail)
    if abs(this.local_drift - other.local_drift) > _DRIFTED or abs(this.halos - other.halos) > _SHARPENED:
        return False
    return apart <= max(_ALIKE * max(this.detail, other.detail), UNSEEN_DETAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What became of measuring a job's pictures.

    Attributes:
        measures: The numbers; None where it could not be measured.
        problem: Why not, in a few words, such as ``has no upscaled picture``; empty where it could.
        original: SHA-256 of the size and the pixels of the original, hex; empty where it cannot be read.
        print: The fingerprint of the upscaled picture; None where it cannot be read.
        failed: Which metrics of the user's own could not be had, and why. Such a pair is measured again the next time.
        same_as: Another job whose upscaled picture has the very same pixels; empty where there is none, or this is the first.
        close_to: The first job whose upscaled picture can hardly be told apart; likewise.
    """

    measures: Measures | None
    problem: str = ""
    original: str = ""
    print: Fingerprint | None = None
    failed: tuple[str, ...] = ()
    same_as: str = ""
    close_to: str = ""
