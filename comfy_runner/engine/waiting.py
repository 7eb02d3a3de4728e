"""Waiting for engines that are just starting, before anything is asked of them in earnest."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from comfy_runner.engine.interface import Engine
from comfy_runner.errors import ServerError
from comfy_runner.wording import duration

_PAUSES = (0.1, 0.2, 0.5, 1.0)  # seconds between two rounds of questions; the last one is repeated


def wait_until_up(engines: Sequence[Engine], seconds: float, *, say: Callable[[str], None] | None = None) -> None:
    """Wait until all engines answer, or the time is over; whoever asks them next learns what is wrong with one.

    An engine that answers, but with an error that will not pass, such as a wrong token, is not waited for.

    Args:
        engines: The engines; each is asked what it is.
        seconds: The most to wait, for all of them together; 0 for not at all, in which case nothing is asked.
        say: Is told once that somebody is waited for; None for silence.
    """
    end, missing = time.monotonic() + seconds, list(engines) if seconds else []
    for number, pause in enumerate(itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))):
        missing = [engine for engine in missing if _is_starting(engine)]
        if not missing or (left := end - time.monotonic()) <= 0:
            return
        if number == 0 and say is not None:
            say(f"waiting up to {duration(seconds)} for {', '.join(engine.url for engine in missing)} to answer")
        time.sleep(min(pause, left))


def _is_starting(engine: Engine) -> bool:
    try:
        engine.info()
    except ServerError as error:
        return error.is_transient
    return False
