"""``comfy-runner logs``: the ends of what the servers of a run on Ray have printed."""

from __future__ import annotations

from pathlib import Path

import click

from comfy_runner.cli.options import run_argument
from comfy_runner.cli.output import print_line


@click.command()
@run_argument
@click.argument("worker", default="")
@click.option("-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="How many lines from the end.")
def logs(folder: Path, *, worker: str, lines: int) -> None:
    """Print the end of the log of each ComfyUI that the run in RUN has started on Ray, or of that of WORKER alone.

    WORKER is called as in the live view: 'gpu7 GPU 0', or gpu7-gpu-0.
    """
    from comfy_runner.control.server_logs import server_logs

    found = server_logs(folder, worker, lines=lines)
    for log in found:
        if len(found) > 1:
            print_line(f"==> {log.name} <==")
        print_line(log.text)
