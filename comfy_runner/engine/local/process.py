"""Start, stop and look at the server of one instance: a process of its own that outlives the program that started it.

The pid file is the only memory between programs. Whatever it says is checked against the running system before use.

ComfyUI is set up by `installation`, and its command line made by `command`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from comfy_runner.engine.local.child_process import ProcessRecord, end_process, find_process, read_record, write_record
from comfy_runner.engine.local.command import known_flags, model_paths, server_command, server_flags
from comfy_runner.engine.local.installation import InstalledEngine, find_engine, setup
from comfy_runner.engine.local.loopback import answers, choose_port, is_taken, url_of
from comfy_runner.engine.local.options import LocalOptions, require_posix
from comfy_runner.engine.local.state_files import locked, read_json, tail, write_json
from comfy_runner.errors import LocalError

_ATTEMPTS: Final = 3
_POLL_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 5.0
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A local ComfyUI that answers.

    Attributes:
        url: Where it answers.
        pid: Its process id.
        port: Its TCP port on 127.0.0.1.
        log: File with its output.
    """

    url: str
    pid: int
    port: int
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStatus:
    """What there is of a local ComfyUI.

    Attributes:
        home: Folder of everything.
        is_set_up: Whether the engine is complete, so that a start needs no download.
        engine_version: ComfyUI's version; None unless set up.
        running: Whether the instance's process runs.
        answers: Whether it answers as a ComfyUI does; a server that still starts runs and does not answer.
        url: Where it answers or will answer; None unless running.
        pid: Its process id; None unless running.
        log: File with its output, which may not exist yet.
        stale_pid: Process id in the pid file of a server that has ended without being stopped; None otherwise.
    """

    home: Path
    is_set_up: bool
    engine_version: str | None
    running: bool
    answers: bool
    url: str | None
    pid: int | None
    log: Path
    stale_pid: int | None


def start(options: LocalOptions, *, say: Callable[[str], None], timeout: float = 180.0) -> LocalServer:
    """Make sure that the instance's server runs and answers.

    Args:
        options: Which instance, and how to start it. A server that runs already is left as it is.
        say: Told in short sentences what goes on.
        timeout: Seconds that the server may take until it answers.

    Raises:
        LocalError: If setup fails, a wanted port is taken, or the server ends or does not answer in time.
    """
    engine = setup(options, say=say)
    try:
        with locked(options.folder / "lock", say=say, busy=f"waiting for another comfy-runner that is starting {options.instance}"):
            record = read_record(options.record)
            if record is not None and find_process(record) is not None:
                return _join(options, record, engine, say=say, timeout=timeout)
            if record is not None:
                say(f"the last server (pid {record.pid}) has ended without being stopped")
                options.record.unlink(missing_ok=True)
            return _start_new(options, engine, say=say, timeout=timeout)
    except OSError as error:
        raise LocalError(f"cannot be started (got {error})", where=str(options.folder)) from error


def prepared_command(options: LocalOptions, *, port: int, say: Callable[[str], None]) -> list[str]:
    """Return the command line that starts a server in an instance's folder, for who runs it as a child of its own.

    The folder is made ready for it; there is no pid file, and `stop` and `status` know nothing of it.

    Args:
        options: Which instance, one that nobody else uses.
        port: TCP port on 127.0.0.1.
        say: Told in short sentences what goes on.

    Raises:
        LocalError: If setup fails, or the folder cannot be written.
    """
    engine = setup(options, say=say)
    try:
        _prepare_folder(options, engine)
    except OSError as error:
        raise LocalError(f"cannot be started (got {error})", where=str(options.folder)) from error
    return server_command(engine, port=port, flags=_flags(options, engine))


def stop(options: LocalOptions, *, timeout: float = 20.0) -> bool:
    """End the instance's server.

    Args:
        options: Which instance.
        timeout: Seconds to wait before it is ended by force.

    Returns:
        False if none ran.

    Raises:
        LocalError: If it cannot be ended.
    """
    require_posix()
    try:
        if not options.folder.is_dir():
            return False
        with locked(options.folder / "lock", say=lambda _sentence: None, busy=""):
            record = read_record(options.record)
            process = find_process(record)
            if process is not None:
                end_process(process, timeout=timeout)
                if find_process(record) is not None:
                    raise LocalError(f"does not end (pid {process.pid})", where=str(options.record))
            options.record.unlink(missing_ok=True)
            return process is not None
    except FileNotFoundError:  # somebody else has ended it meanwhile, and removed all of it
        return False
    except OSError as error:
        raise LocalError(f"cannot be stopped (got {error})", where=str(options.folder)) from error


def status(options: LocalOptions) -> LocalStatus:
    """Return what there is of the instance; changes nothing and waits for nobody longer than a few seconds.

    Raises:
        LocalError: If the system is none for a managed ComfyUI, or the user's own checkout is none.
    """
    require_posix()
    engine = find_engine(options)
    record = read_record(options.record)
    process = find_process(record)
    running = record if process is not None else None
    return LocalStatus(
        home=options.root,
        is_set_up=engine is not None,
        engine_version=engine.version if engine else None,
        running=running is not None,
        answers=running is not None and answers(running.port, folder=options.folder, timeout=_ANSWER_SECONDS),
        url=url_of(running.port) if running else None,
        pid=running.pid if running else None,
        log=options.log,
        stale_pid=record.pid if record is not None and running is None else None,
    )


def logs(options: LocalOptions, *, lines: int = 50) -> str:
    """Return the last lines of the instance's log, or of the setup's log if that did not get as far as a server.

    Raises:
        LocalError: If the system is none for a managed ComfyUI, or the user's own checkout is none.
    """
    require_posix()
    runnable = find_engine(options) is not None or find_process(read_record(options.record)) is not None
    return tail(options.log if runnable else options.setup_log, lines=lines)


def _join(
    options: LocalOptions, record: ProcessRecord, engine: InstalledEngine, *, say: Callable[[str], None], timeout: float
) -> LocalServer:
    """Return the server that runs already, waiting if it is still starting."""
    if options.port is not None and options.port != record.port:
        raise LocalError(
            f"instance {options.instance} already runs on another port (got {options.port})",
            where=url_of(record.port),
            hint="stop it first, or use another instance",
        )
    if record.flags != _flags(options, engine):
        say(f"instance {options.instance} already runs, with other options; stop it first to change them")
    if not _wait(options, record, timeout=timeout):
        raise _died(options, "ended")
    return _server(options, record)


def _start_new(options: LocalOptions, engine: InstalledEngine, *, say: Callable[[str], None], timeout: float) -> LocalServer:
    remembered = read_json(options.remembered_port).get("port")
    port = choose_port(options.port, remembered=remembered if isinstance(remembered, int) else None)
    attempts_left = _ATTEMPTS
    while True:
        say(f"starting ComfyUI {engine.version} on port {port}")
        began = time.monotonic()
        try:
            child, record = _spawn(options, engine, port)
            # Without somebody who waits for it, an ended server would stay a zombie while this program runs.
            threading.Thread(target=child.wait, name="local-comfyui-reaper", daemon=True).start()
            came_up = _wait(options, record, timeout=timeout)
        except LocalError:  # it may come up yet
            raise
        except BaseException:
            # Whoever interrupts a start does not want the server. The pid file is asked, for it may have come any moment.
            process = find_process(read_record(options.record))
            if process is not None:
                end_process(process, timeout=_ANSWER_SECONDS)
            options.record.unlink(missing_ok=True)
            raise
        if came_up:
            write_json(options.remembered_port, {"port": port})
            say(f"ComfyUI answers on {url_of(port)} after {time.monotonic() - began:.0f} s")
            return _server(options, record)
        attempts_left -= 1
        if options.port is not None or not attempts_left or not is_taken(port):
            raise _died(options, _ending(child.wait()))
        say(f"port {port} has been taken in the meantime")
        port = choose_port(None, remembered=None)


def _spawn(options: LocalOptions, engine: InstalledEngine, port: int) -> tuple[subprocess.Popen[bytes], ProcessRecord]:
    _prepare_folder(options, engine)
    flags = _flags(options, engine)
    with options.log.open("wb") as log:
        child = subprocess.Popen(
            server_command(engine, port=port, flags=flags),
            cwd=options.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in our terminal is not meant for the server.
            start_new_session=True,
        )
    try:
        created = psutil.Process(child.pid).create_time()
        record = ProcessRecord(pid=child.pid, created=created, port=port, version=engine.version, flags=flags)
        write_record(options.record, record)
    except BaseException:
        # A server that no pid file names could never be stopped.
        child.kill()
        child.wait()
        raise
    return child, record


def _prepare_folder(options: LocalOptions, engine: InstalledEngine) -> None:
    for name in ("input", "output", "user", "custom_nodes"):
        (options.base / name).mkdir(parents=True, exist_ok=True)
    # The only custom node that ComfyUI ships; a base directory of our own hides it.
    shipped = engine.source / "custom_nodes" / "websocket_image_save.py"
    if engine.managed and shipped.is_file():
        shutil.copyfile(shipped, options.base / "custom_nodes" / shipped.name)
    options.model_paths.write_text(model_paths(options), encoding="utf-8")
    if options.log.exists():
        options.log.replace(options.log.with_name("server.previous.log"))


def _flags(options: LocalOptions, engine: InstalledEngine) -> tuple[str, ...]:
    try:
        text = (engine.source / "comfy" / "cli_args.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return server_flags(options, managed=engine.managed, known=known_flags(text))


def _wait(options: LocalOptions, record: ProcessRecord, *, timeout: float) -> bool:
    """Wait until the server answers; False if it ends, of which no pid file is left.

    Raises:
        LocalError: If it does not answer in time.
    """
    until = time.monotonic() + timeout
    while find_process(record) is not None:
        # Only an answer from a process that is still there counts: another server may have taken the port.
        if answers(record.port, folder=options.folder, timeout=_ANSWER_SECONDS) and find_process(record) is not None:
            return True
        if time.monotonic() >= until:
            raise LocalError(
                f"ComfyUI runs but does not answer (pid {record.pid}, waited {timeout:g} s)",
                where=str(options.log),
                hint="it may still be loading: start again to keep waiting, or `comfy-runner local stop`",
            )
        time.sleep(_POLL_SECONDS)
    options.record.unlink(missing_ok=True)
    return False


def _server(options: LocalOptions, record: ProcessRecord) -> LocalServer:
    return LocalServer(url=url_of(record.port), pid=record.pid, port=record.port, log=options.log)


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed, perhaps because memory ran out"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _died(options: LocalOptions, ending: str) -> LocalError:
    return LocalError(
        f"ComfyUI {ending} while it started\n{tail(options.log, lines=_TAIL_LINES)}",
        where=str(options.log),
        hint="see the whole log with `comfy-runner local logs`",
    )
