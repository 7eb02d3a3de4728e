"""What the caller wants of the managed ComfyUI, and where on disk each thing of it lives.

These are values alone. The environment and the config file are read by `comfy_runner.config`, which fills them in.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from comfy_runner.errors import LocalError, UsageError

_INSTANCE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def default_home() -> Path:
    """Return the folder that holds engine, models and instances unless the caller names another one.

    Raises:
        LocalError: The user has no home, as in some containers.
    """
    try:
        return (platformdirs.user_cache_path("comfy-runner") / "local").expanduser()
    except RuntimeError as error:
        hint = "set HOME, or name a folder in COMFY_RUNNER_LOCAL_HOME"
        raise LocalError("this user has no home folder", where="local ComfyUI", hint=hint) from error


def require_posix(os_name: str = os.name) -> None:
    """Refuse systems that the managed ComfyUI is not made for.

    Args:
        os_name: What `os.name` says.

    Raises:
        LocalError: On anything but Linux and macOS.
    """
    if os_name != "posix":
        raise LocalError(
            f"the managed ComfyUI is for Linux and macOS (got {os_name})",
            where="local ComfyUI",
            hint="start ComfyUI yourself and give its URL as the server",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """Which local ComfyUI, and how.

    Attributes:
        home: Folder for everything that is downloaded, built or logged.
        instance: Name of one server; several may run from one engine at the same time.
        port: TCP port on 127.0.0.1, 1 to 65535; None for the one used last time, or any free one.
        comfyui: A ComfyUI checkout of the user's, to be used instead of the managed engine.
        python: With ``comfyui``: the Python that runs it (default: its venv or .venv). Without: the one that the
            engine's virtual environment is made from (default: the Python that runs this program).
        models: A models folder of the user's, laid out as ComfyUI's own.
        pip_args: Options for ``pip install`` while the engine is set up, such as an extra index with CPU-only builds.
            They count only when the environment is built.
        server_args: More flags for ComfyUI's main.py, such as ``("--cache-none",)``.

    Raises:
        UsageError: If the instance's name or the port cannot be one.
    """

    home: Path = field(default_factory=default_home)
    instance: str = "default"
    port: int | None = None
    comfyui: Path | None = None
    python: Path | None = None
    models: Path | None = None
    pip_args: tuple[str, ...] = ()
    server_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _INSTANCE_NAME.fullmatch(self.instance):
            raise UsageError(
                f"not a name for an instance (got {self.instance!r})",
                where="local ComfyUI",
                hint="use up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
            )
        if self.port is not None and not 1 <= self.port <= 65535:
            raise UsageError(f"a port is between 1 and 65535 (got {self.port})", where="local ComfyUI")

    @property
    def root(self) -> Path:
        """``home`` as an absolute path: ComfyUI is started with another working directory."""
        return self.home.expanduser().absolute()

    @property
    def venv(self) -> Path:
        """The virtual environment that ComfyUI runs in."""
        return self.root / "venv"

    @property
    def shared_models(self) -> Path:
        """Models folder that every instance sees."""
        return self.root / "models"

    @property
    def checkpoint(self) -> Path:
        """The small checkpoint with random weights, made on this machine."""
        return self.shared_models / "checkpoints" / "tiny-random-sd15.safetensors"

    @property
    def scratch(self) -> Path:
        """Where things are built before they are renamed into their place; on the same file system as those."""
        return self.root / "tmp"

    @property
    def setup_log(self) -> Path:
        """What pip and the other tools said during the last setup that had something to do."""
        return self.root / "setup.log"

    @property
    def setup_record(self) -> Path:
        """Names the process that a setup is waiting for, so that the next setup can end it if this one is killed."""
        return self.root / "setup.pid.json"

    @property
    def instances(self) -> Path:
        """Folder of all instances."""
        return self.root / "instances"

    @property
    def folder(self) -> Path:
        """Folder of this instance; it may be removed when no server runs."""
        return self.instances / self.instance

    @property
    def base(self) -> Path:
        """ComfyUI's base directory in this instance: input, output, temp, user, custom_nodes."""
        return self.folder / "base"

    @property
    def log(self) -> Path:
        """Output of this instance's server; the one before is beside it as ``server.previous.log``."""
        return self.folder / "server.log"

    @property
    def record(self) -> Path:
        """The pid file: which process is this instance's server."""
        return self.folder / "server.pid.json"

    @property
    def remembered_port(self) -> Path:
        """Holds the port that this instance used last."""
        return self.folder / "port.json"

    @property
    def model_paths(self) -> Path:
        """The generated extra_model_paths file."""
        return self.folder / "extra_model_paths.yaml"
