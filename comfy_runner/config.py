"""The user's settings: a YAML file in the config folder, and environment variables. The only place that reads either.

::

    server: studio                      # a name from below, a URL, or local
    fleet: [studio, "http://gpu2:8188"] # or several of these, which then are the ones that are used
    servers:
      studio:
        url: https://render.example:8443/comfy
        headers: {Authorization: "Bearer ${STUDIO_TOKEN}"}   # ${NAME} is taken from the environment
        query: {token: "${STUDIO_TOKEN}"}                    # sent with HTTP and websocket alike
        cacert: ~/studio.pem                                 # or insecure: true
        in_flight: 4                                         # how many jobs it may have at once, 1 to 16
    templates: [~/comfy/templates]      # searched before the shipped ones
    local: {models: ~/models, pip_args: ["--index-url=…"]}
    ray: {address: "head:6379", max: 8, resources: {GPU: 1}}            # of `run --ray`
    models: {hosts: [huggingface.co], fetch: true}           # what recipes' models may be fetched from
    comfy_api_key: "${MY_COMFY_KEY}"    # for nodes that call paid services; also of a single server
    retry: {server_lost: 3, out_of_memory: {times: 1, vae_decode: tiled}}    # a recipe's own retry comes first
    expect: {vetoes: {max: 0}, seconds: {max: 60}}                           # and so do its expectations

Environment: ``COMFY_RUNNER_CONFIG`` (the file), ``COMFY_RUNNER_SERVER`` (one, or several with spaces between them),
``COMFY_RUNNER_LOCAL_HOME`` (the local ComfyUI's folder), ``COMFY_RUNNER_STATE`` (the folder for what runs at URLs keep on this
machine), ``COMFY_RUNNER_TOKEN`` (a bearer token) and ``COMFY_RUNNER_QUERY`` (such as ``token=…``) for servers that are given by
their URL, ``HF_TOKEN`` (a token for models at Hugging Face), ``COMFY_API_KEY`` (for nodes that call
paid services). What servers are checked by can be named with ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import platformdirs
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, ValidationInfo, field_validator

from comfy_runner.atomic_files import is_device
from comfy_runner.errors import ConfigError, Problem, UsageError
from comfy_runner.expect import Expect, Limit, PassLimits
from comfy_runner.model_settings import HUGGING_FACE, ModelsConfig
from comfy_runner.ray_options import RayOptions
from comfy_runner.retry import Remedy, Retry
from comfy_runner.setting_types import ApiKey, Secret, Section, UserPath, api_key, expanded
from comfy_runner.shard import Shard, find_shard
from comfy_runner.text_files import is_file, read, shown
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import Document, got, parse

DEFAULT_SERVER = "http://127.0.0.1:8188"
LOCAL = "local"
"""Stands for the managed local ComfyUI wherever a URL could."""

MOST_IN_FLIGHT = 16
"""Most jobs that one server may be given at once."""

# A bare word is taken for a name: it may well be a mistyped one.
_URL = re.compile(r"\S*://\S*|\S+:[0-9]+(/\S*)?")


class ServerConfig(Section):
    """One server, with its credentials and settings.

    Attributes:
        url: Its address.
        headers: Sent with every request to it, and only to it.
        query: Query parameters, likewise.
        cacert: The CA certificate that signs the server's; None for the system's CA certificates.
        insecure: Whether its certificate is not checked.
        in_flight: The most jobs that it has at once, 1 to 16; None for the number that the run uses for every server.
        comfy_api_key: The API key that it receives for nodes that call paid services, even over an insecure connection; empty for
            none; None for the key in the settings, which is sent only if nobody in between can read it.
        cloud: Whether it has the routes of Comfy Cloud; always true of https://cloud.comfy.org.
        name: The user's name for it, which is its key in the file; empty for a server given by its URL.
    """

    url: str
    headers: dict[str, Secret] = Field(default={}, repr=False)
    query: dict[str, Secret] = Field(default={}, repr=False)
    cacert: UserPath | None = None
    insecure: bool = False
    in_flight: int | None = Field(default=None, ge=1, le=MOST_IN_FLIGHT, strict=True)
    comfy_api_key: ApiKey | None = Field(default=None, repr=False)
    cloud: bool = False
    name: str = ""

    @field_validator("name", mode="before")
    @classmethod
    def _is_its_key(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not None:
            raise ValueError("a server's name is its key")
        return value

    @property
    def place(self) -> str:
        """Return its URL without credentials, in a normal form: safe to print, and equal for the same server."""
        text = self.url.strip()
        try:
            parts = urlsplit(text if "://" in text or text == LOCAL else f"http://{text}")
            port = "" if parts.port is None else f":{parts.port}"
        except ValueError:  # it is none, which whoever connects to it will say
            return harmless(text)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}" if host else harmless(text)


class LocalConfig(Section):
    """The managed local ComfyUI.

    Attributes:
        home: Its folder; None for the user's cache folder.
        comfyui: A checkout to use instead of setting one up.
        python: The Python for that checkout.
        models: A folder with the user's own models.
        pip_args: Options for pip while setting it up.
    """

    home: UserPath | None = None
    comfyui: UserPath | None = None
    python: UserPath | None = None
    models: UserPath | None = None
    pip_args: tuple[str, ...] = ()


class Config(Section):
    """All settings.

    Attributes:
        server: The server to use if the command line names none: a name, a URL, or ``local``.
        fleet: Several servers to use if the command line names none; takes precedence over `server`.
        servers: Named servers.
        templates: Folders with the user's own templates.
        local: The managed local ComfyUI.
        ray: How runs with ``--ray`` use Ray.
        models: How the models that recipes name may be fetched.
        token: Bearer token for a server given by its URL; named servers have their own headers.
        query: Query parameters for such a server.
        comfy_api_key: The API key for nodes that call paid services; empty for none.
        retry: How failed jobs are retried, unless a recipe says otherwise.
        expect: The expectations for jobs, unless their recipes say otherwise.
        outage_timeout: Seconds without an answer after which a server's jobs are left to others, or to the next run; None for 60,
            or 15 if other servers can do them.
        notify: What is notified when a run ends: a URL to post to, or a command; empty for nothing.
        wait: Seconds to wait for a server that is starting; 0 for no waiting.
    """

    server: str = DEFAULT_SERVER
    fleet: tuple[str, ...] = ()
    servers: dict[str, ServerConfig] = Field(default={})
    templates: tuple[UserPath, ...] = ()
    local: LocalConfig = LocalConfig()
    ray: RayOptions = RayOptions()
    models: ModelsConfig = ModelsConfig()
    token: Secret = Field(default="", repr=False)
    query: dict[str, Secret] = Field(default={}, repr=False)
    comfy_api_key: ApiKey = Field(default="", repr=False)
    retry: Retry | None = None
    expect: Expect | None = None
    outage_timeout: float | None = Field(default=None, gt=0)
    notify: Secret = Field(default="", repr=False)
    wait: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    _document: Document | None = PrivateAttr(default=None)

    def where(self, setting: str) -> str:
        """Return the place of a setting for messages, by its dotted name; the name itself if no file sets it."""
        known = self._document
        return setting if known is None else f"{known.name}:{known.line(tuple(setting.split('.')))}: {setting}"

    def find_server(self, given: str | ServerConfig | None) -> ServerConfig:
        """Return the server of this name or URL, or the default one, which is the first of a fleet."""
        if isinstance(given, ServerConfig):
            return given
        name = self._default[0] if given is None else given
        if name in self.servers:
            return self.servers[name].model_copy(update={"name": name})
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return ServerConfig(url=name, headers=headers, query=self.query)

    def find_servers(self, given: str | ServerConfig | Sequence[str | ServerConfig] | None) -> tuple[ServerConfig, ...]:
        """Return the servers of these names or URLs, at least one.

        Args:
            given: The servers; None or empty for the fleet, or for the default server if there is no fleet.

        Raises:
            UsageError: Two of them are the same server.
        """
        several = [given] if isinstance(given, (str, ServerConfig)) else list(given or self._default)
        found = tuple(map(self.find_server, several))
        twice = next(iter(_repeated(found)), None)
        if twice is not None:
            raise UsageError(f"a server is given twice (got {found[twice].place})", hint="give each server once")
        return found

    @property
    def names_servers(self) -> bool:
        """Whether the settings say which servers to use if none are named."""
        return bool({"server", "fleet"} & self.model_fields_set)

    def known_servers(self) -> tuple[ServerConfig, ...]:
        """Return all servers in the settings, starting with those in use; the default one if there are none."""
        used = self._default if self.names_servers or not self.servers else ()
        return tuple(map(self.find_server, dict.fromkeys([*used, *self.servers])))

    @property
    def _default(self) -> tuple[str, ...]:
        return self.fleet or (self.server,)


def load_config(environment: Mapping[str, str] | None = None) -> Config:
    """Read the config file, if there is one, and the environment.

    Args:
        environment: Environment variables to use instead of the process's own.

    Raises:
        ConfigError: With everything that is wrong in the file, or with the variable that is wrong.
    """
    found = os.environ if environment is None else environment
    named = _path(found, "COMFY_RUNNER_CONFIG")
    path = named or _usual_file()
    config = _read(path, found) if path and (named or is_file(path)) else Config()
    changes: dict[str, Any] = {}
    given = found.get("COMFY_RUNNER_SERVER", "")
    if servers := (given,) if given in config.servers else tuple(given.split()):
        changes |= {"server": servers[0], "fleet": servers if len(servers) > 1 else ()}
    if home := _path(found, "COMFY_RUNNER_LOCAL_HOME"):
        changes["local"] = config.local.model_copy(update={"home": home})
    if (token := found.get("HF_TOKEN")) and HUGGING_FACE not in config.models.tokens:
        tokens = {**config.models.tokens, HUGGING_FACE: token}
        changes["models"] = config.models.model_copy(update={"tokens": tokens})
    if token := found.get("COMFY_RUNNER_TOKEN"):
        changes["token"] = token
    if query := found.get("COMFY_RUNNER_QUERY"):
        changes["query"] = _query(query)
    if key := found.get("COMFY_API_KEY", "").strip():
        changes["comfy_api_key"] = _api_key(key)
    return config.model_copy(update=changes)


def which_shard(text: str) -> Shard:
    """Return the shard that a user means; see `find_shard`.

    Args:
        text: ``3/8``, ``auto`` or ``auto/8``.

    Raises:
        UsageError: The text is not a shard, or the environment names none.
    """
    return find_shard(text, os.environ)


def ca_bundle() -> str:
    """Return the file or folder of CA certificates that the environment names, as most Python programs read it; empty if none."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or ""


def cache_folder() -> Path | None:
    """Return the user's cache folder, which may not exist yet; None for a user without a home folder."""
    try:
        return platformdirs.user_cache_path("comfy-runner")
    except RuntimeError:
        return None


def state_folder() -> Path:
    """Return the user's folder for lasting data of this machine, which may not exist yet.

    Raises:
        ConfigError: The environment does not name it, and the user has no home folder.
    """
    named = _path(os.environ, "COMFY_RUNNER_STATE")
    try:
        return (named or platformdirs.user_state_path("comfy-runner")).absolute()
    except RuntimeError as error:
        raise ConfigError("the user has no home folder", hint="name a folder: COMFY_RUNNER_STATE") from error


def calibrations_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of kept calibrations, beside the config file; None if the config file has no folder.

    Args:
        environment: Environment variables to use instead of the process's own.

    Raises:
        ConfigError: The environment names an impossible path for the config file.
    """
    found = os.environ if environment is None else environment
    config = _path(found, "COMFY_RUNNER_CONFIG") or _usual_file()
    return None if config is None or is_device(config) else config.with_name("calibrations.json")


def _usual_file() -> Path | None:
    try:
        return platformdirs.user_config_path("comfy-runner") / "config.yaml"
    except RuntimeError:  # a user without a name and a home, as containers have
        return None


def _query(text: str) -> dict[str, str]:
    try:
        # A plus is one: tokens have some, and nobody writes a form here.
        return dict(parse_qsl(text.replace("+", "%2B"), strict_parsing=True))
    except ValueError:
        raise ConfigError("must be like token=…", where="COMFY_RUNNER_QUERY") from None


def _api_key(text: str) -> str:
    try:
        return api_key(text)
    except ValueError as error:
        raise ConfigError(str(error), where="COMFY_API_KEY") from None


def _path(environment: Mapping[str, str], variable: str) -> Path | None:
    value = environment.get(variable)
    try:
        return expanded(Path(value)) if value else None
    except ValueError as error:
        raise ConfigError(str(error), where=variable) from error


def _read(path: Path, environment: Mapping[str, str]) -> Config:
    document = parse(read(path, error=ConfigError), name=shown(path), error=ConfigError)
    try:
        config = Config.model_validate({} if document.value is None else document.value, context=environment)
    except ValidationError as error:
        raise ConfigError.of(_problem(dict(detail), document, shown(path)) for detail in error.errors()) from error
    if problems := list(_fleet_problems(config, document, shown(path))):
        raise ConfigError.of(problems)
    if config.expect is not None:
        config._document = document
    return config


def _fleet_problems(config: Config, document: Document, name: str) -> Iterator[Problem]:
    places = [f"{name}:{document.line(('fleet', number))}: fleet.{number}" for number in range(len(config.fleet))]
    for where, entry in zip(places, config.fleet, strict=True):
        if entry not in config.servers and entry != LOCAL and not _URL.fullmatch(entry):
            hint = did_you_mean(harmless(entry), [*config.servers, LOCAL])
            yield Problem(f"is neither a server's name nor a URL (got {got(harmless(entry))})", where, hint)
    for number, first in _repeated([config.find_server(entry) for entry in config.fleet]).items():
        yield Problem(f"is the same server as fleet.{first}", places[number], "give each server once")


def _repeated(servers: Sequence[ServerConfig]) -> dict[int, int]:
    """Return the places of repeated servers, each with the place of its first occurrence."""
    first: dict[str, int] = {}
    numbered = [(number, first.setdefault(server.place, number)) for number, server in enumerate(servers)]
    return {number: before for number, before in numbered if before != number}


def harmless(text: str) -> str:
    """Return a possible server address without a password or token in it."""
    return text.rsplit("@", 1)[-1].partition("?")[0]


def _section(place: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the section of a setting."""
    if len(place) == 1:
        return Config
    if place[0] == "retry":
        return Retry if len(place) == 2 else Remedy
    if place[0] == "expect":
        return Expect if len(place) == 2 else PassLimits if place[1] == "passes" and len(place) == 3 else Limit
    if place[0] == "ray":
        return RayOptions
    if place[0] == "models":
        return ModelsConfig
    return LocalConfig if place[0] == "local" else ServerConfig


def _problem(detail: Mapping[str, Any], document: Document, name: str) -> Problem:
    place = tuple(detail["loc"])
    where = f"{name}:{document.line(place)}: {'.'.join(map(str, place))}" if place else name
    if detail["type"] == "extra_forbidden":
        settings = [setting for setting in _section(place).model_fields if setting != "name"]
        return Problem("there is no such setting", where, did_you_mean(str(place[-1]), settings))
    what = str(detail["msg"]).removeprefix("Value error, ")
    return Problem(what[:1].lower() + what[1:], where, detail.get("ctx", {}).get("hint", ""))
