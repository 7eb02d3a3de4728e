"""What is measured of an upscaled picture and its original: the numbers, their units, what they veto.

How they are measured is in `metrics`, and which picture is best in `suggest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from comfy_runner.report.near_copies import Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """An upscaled picture held against its original. All are ratios or distances: 0 is what the plain upscale has.

    Attributes:
        drift: How far the composition has moved: 1 - SSIM of the luma at the original's size, after a global shift has been
            undone; 0 (the same) to 1 and, for opposites, 2.
        local_drift: The drift of the region that has drifted most, of about a sixteenth of the picture; same range.
        detail: Real detail that the plain upscale lacks: contrast above the original's Nyquist frequency that is neither noise
            nor blocks, as a share of the contrast in the original's own finest octave; 0 (none) to about 1.
        noise: Standard deviation of the noise that the original has not, in luma or colour, of full scale; 0 to 1.
        blocks: How much stronger steps are on a regular grid than elsewhere; 0 (not at all) to about 20.
        seams: Height of the highest straight step or line through the picture that the original has not, in 255ths; 0 to 255.
        halos: How much more contrast the original's fine structures have gained than its coarse ones, as a share; 0 upwards.
        colour_shift: Distance of the mean colours, CIE76 in Lab, at the original's size; 0 upwards, 2.3 is just visible.
        shift: How far the whole picture was moved, in pixels of the upscaled picture; 0 upwards.
        vetoes: What rules the picture out whatever its detail, worst first: ``flat``, ``noise``, ``blocks``, ``seams`` or ``halos``
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
    vetoes: tuple[str, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)


NUMBERS = ("drift", "local_drift", "detail", "noise", "blocks", "seams", "halos", "colour_shift", "shift")
"""The names of the numbers, in the order of tables."""


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
        close_to: Another job whose upscaled picture can hardly be told apart; likewise.
    """

    measures: Measures | None
    problem: str = ""
    original: str = ""
    print: Fingerprint | None = None
    failed: tuple[str, ...] = ()
    same_as: str = ""
    close_to: str = ""
