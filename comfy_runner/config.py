"""The user's settings: a YAML file in the config folder, and environment variables. The only place that reads either.

::

    server: studio                      # a name from below, a URL, or local
    servers:
      studio: {url: "https://render.example:8443/comfy", headers: {Authorization: "Bearer …"}}
    templates: [~/comfy/templates]      # searched before the shipped ones
    local: {models: ~/models, pip_args: [--index-url, "https://download.pytorch.org/whl/cpu"]}

Environment: ``COMFY_RUNNER_CONFIG`` (the file), ``COMFY_RUNNER_SERVER``, ``COMFY_RUNNER_LOCAL_HOME`` (the local ComfyUI's folder).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from comfy_runner.errors import ConfigError, Problem
from comfy_runner.hints import did_you_mean
from comfy_runner.textfile import read, shown
from comfy_runner.yamltext import Document, parse

DEFAULT_SERVER = "http://127.0.0.1:8188"
_VARIABLES = ("COMFY_RUNNER_CONFIG", "COMFY_RUNNER_SERVER", "COMFY_RUNNER_LOCAL_HOME")

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerConfig(_Section):
    """One named server.

    Attributes:
        url: Its address.
        headers: Sent with every request to it, and only to it.
    """

    url: str
    headers: dict[str, str] = {}


class LocalConfig(_Section):
    """The managed local ComfyUI.

    Attributes:
        home: The folder that holds it; None for the user's cache folder.
        comfyui: A checkout to use instead of the engine that is set up.
        python: The Python for that checkout.
        models: A folder with the user's own models.
        pip_args: Options for pip while setting it up.
    """

    home: UserPath | None = None
    comfyui: UserPath | None = None
    python: UserPath | None = None
    models: UserPath | None = None
    pip_args: tuple[str, ...] = ()


class Config(_Section):
    """All settings.

    Attributes:
        server: The server where the command line names none: a name, a URL, or ``local``.
        servers: Named servers.
        templates: Folders with the user's own templates.
        local: The managed local ComfyUI.
    """

    server: str = DEFAULT_SERVER
    servers: dict[str, ServerConfig] = {}
    templates: tuple[UserPath, ...] = ()
    local: LocalConfig = LocalConfig()

    def find_server(self, given: str | None) -> ServerConfig:
        """Return the server of this name or URL, or the default one."""
        name = given or self.server
        return self.servers.get(name) or ServerConfig(url=name)


def load_config(environment: Mapping[str, str] | None = None) -> Config:
    """Read the config file, if there is one, and the environment.

    Args:
        environment: Instead of the process's own.

    Raises:
        ConfigError: With everything that is wrong in the file.
    """
    values = {name: value for name in _VARIABLES if (value := (os.environ if environment is None else environment).get(name))}
    named = values.get("COMFY_RUNNER_CONFIG")
    path = Path(named).expanduser() if named else platformdirs.user_config_path("comfy-runner") / "config.yaml"
    config = _read(path) if named or path.is_file() else Config()
    if server := values.get("COMFY_RUNNER_SERVER"):
        config = config.model_copy(update={"server": server})
    if home := values.get("COMFY_RUNNER_LOCAL_HOME"):
        local = config.local.model_copy(update={"home": Path(home).expanduser()})
        config = config.model_copy(update={"local": local})
    return config


def _read(path: Path) -> Config:
    document = parse(read(path, error=ConfigError), name=shown(path), error=ConfigError)
    try:
        return Config.model_validate(document.value or {})
    except ValidationError as error:
        raise ConfigError.of(_problem(dict(detail), document, shown(path)) for detail in error.errors()) from error


def _problem(detail: Mapping[str, Any], document: Document, name: str) -> Problem:
    place = tuple(detail["loc"])
    where = f"{name}:{document.line(place)}: {'.'.join(map(str, place))}" if place else name
    if detail["type"] == "extra_forbidden":
        section = LocalConfig if place[0] == "local" else ServerConfig if place[0] == "servers" else Config
        return Problem("there is no such setting", where, did_you_mean(str(place[-1]), section.model_fields))
    return Problem(str(detail["msg"]).lower(), where)
