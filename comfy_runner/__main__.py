"""The program: ``comfy-runner``, or ``python -m comfy_runner``."""

from __future__ import annotations

from typing import NoReturn

from comfy_runner.cli.interruption import signals_as_ctrl_c


def main() -> NoReturn:
    """Run the command line and exit. Ctrl-C is heeded before all else is imported, which takes a moment."""
    with signals_as_ctrl_c():
        from comfy_runner.cli.main import main as run

        run()


if __name__ == "__main__":
    main()
