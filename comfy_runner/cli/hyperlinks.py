"""Links to files in terminals that can open them: OSC 8, https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda.

No terminal can be asked whether it knows them. Those of this list, by the variables that they set, are known to; elsewhere, and in
all that stands between (tmux, screen), a path is just its text.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from comfy_runner.cli.output import clean
from comfy_runner.text_files import shown, url_of

_PROGRAMS = frozenset(("ghostty", "iTerm.app", "rio", "tabby", "vscode", "WezTerm", "zed"))
_TERMS = frozenset(("alacritty", "foot", "foot-extra", "wezterm", "xterm-ghostty", "xterm-kitty"))
_VARIABLES = ("KITTY_WINDOW_ID", "KONSOLE_VERSION", "WT_SESSION")
_FIRST_VTE = 5000  # version 0.50, of GNOME Terminal and many others


def linked(path: Path) -> str:
    """Return a file as messages show it, clean; on a stderr that is such a terminal, as a link."""
    text = clean(shown(path))
    if not sys.stderr.isatty() or not knows_links(os.environ):
        return text
    target = url_of(path) or f"file://{socket.gethostname()}{quote(path.absolute().as_posix())}"
    return f"\x1b]8;;{quote(target, safe=':/%~@')}\x1b\\{text}\x1b]8;;\x1b\\"


def knows_links(variables: Mapping[str, str]) -> bool:
    """Return whether a terminal with these environment variables is known to understand links."""
    term = variables.get("TERM", "")
    if term.startswith(("dumb", "screen", "tmux")):
        return False
    vte = variables.get("VTE_VERSION", "")
    return (
        variables.get("TERM_PROGRAM", "") in _PROGRAMS
        or term in _TERMS
        or any(variables.get(name) for name in _VARIABLES)
        or (vte.isdecimal() and int(vte) >= _FIRST_VTE)
    )
