"""``--open``: a page in the user's browser, where there is a display that could show one."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

import click

from comfy_runner.cli.output import say

open_option = click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
"""``--open``, as ``opens``."""

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def open_page(page: Path) -> None:
    """Show a page in the user's browser; where none can be opened, as on a server, say its address.

    Args:
        page: The file.
    """
    address = page.absolute().as_uri()
    try:
        if has_display(os.environ, sys.platform) and webbrowser.open(address):
            return
    except (OSError, webbrowser.Error):
        pass  # whoever cannot be started opens nothing
    say(f"no browser can be opened here; the page is {address}")


def has_display(variables: Mapping[str, str], platform: str) -> bool:
    """Return whether there is a display, or a browser that the user names: without one, Python would start one for terminals.

    Args:
        variables: The environment.
        platform: As `sys.platform` has it.
    """
    return platform in ("darwin", "win32") or any(variables.get(name) for name in _DISPLAYS)
