"""Starting a run in a process of its own, which goes on whatever becomes of the server and its client."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from comfy_runner.errors import ComfyRunnerError, UsageError

_MOST_SAID = 20_000  # characters of what it says
_ERRORS = ("error: ", "hint: ")


def start_run(
    recipe: str, *, servers: Sequence[str], sets: Sequence[str], sweeps: Sequence[str], out: Path, max_cost: float | None
) -> None:
    """Start a run, and return when it has begun. It is `comfy-runner run --detach` in the current folder.

    Args:
        recipe: As for the command.
        servers: The servers, as for the command; empty for those of the settings.
        sets: Overrides of fields.
        sweeps: Axes.
        out: The run folder.
        max_cost: The most that paid services may cost, US dollars; None for no limit.

    Raises:
        ComfyRunnerError: It has not begun; with what the command said.
    """
    options = [f"--out={out}", *(f"--server={name}" for name in servers)]
    options += [*(f"--set={each}" for each in sets), *(f"--sweep={each}" for each in sweeps)]
    options += [] if max_cost is None else [f"--max-cost={max_cost}"]
    # What follows -- is no option, however it is called. Of its words, those are kept that say what is wrong.
    command = [sys.executable, "-P", "-m", "comfy_runner", "run", "--detach", *options, "--", recipe]
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, check=False)
        if done.returncode == 0:
            return
        said.seek(0)
        lines = said.read(_MOST_SAID).decode(errors="replace").splitlines()
    problems = [line.removeprefix("error: ") for line in lines if line.startswith(_ERRORS)]
    kind = UsageError if done.returncode == UsageError.exit_code else ComfyRunnerError
    raise kind("\n".join(problems) or f"the run has not begun (exit code {done.returncode})")
