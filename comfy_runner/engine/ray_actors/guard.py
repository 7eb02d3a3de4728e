"""Runs a server for as long as somebody holds the other end of its stdin: ``python guard.py FOLDER PROGRAM [argument...]``.

An actor that is killed can end nothing any more. So its server is started by this program, which ends the server, and removes the
folder that it works in, as soon as the actor is gone. It says on stdout with which code the server has ended; what that prints goes
to stderr.

It is no child of the actor's: of these Ray itself kills each that it finds, and with the guard alone the server would be left. Both
are in a process group of their own, which the actor ends where it is the guard that was killed.

Imports only the standard library, and nothing of comfy_runner.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

_POLITE_SECONDS = 5.0
_STDOUT, _STDERR = 1, 2


def main(arguments: Sequence[str]) -> None:
    """Run the server in a process that outlives this one."""
    if os.fork():
        return
    folder, command = arguments[0], [*arguments[1:]]
    # The group is told to end as a whole, and somebody has to wait for the others.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=_STDERR, preexec_fn=_heed_sigterm)
    is_alone = threading.Event()
    ending = threading.Thread(target=_end_with_stdin, args=(server, folder, is_alone), daemon=True)
    ending.start()
    code = server.wait()
    if is_alone.is_set():
        ending.join()
    os.write(_STDOUT, str(code).encode())


def _heed_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with_stdin(server: subprocess.Popen[bytes], folder: str, is_alone: threading.Event) -> None:
    while os.read(0, 1):
        pass
    is_alone.set()
    os.killpg(0, signal.SIGTERM)
    try:
        server.wait(_POLITE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
