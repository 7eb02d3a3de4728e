from __future__ import annotations

import os
from pathlib import Path

import pytest

from comfy_runner.config import DEFAULT_SERVER, Config, ServerConfig, load_config
from comfy_runner.errors import ConfigError, Problem, UsageError
from tests.recipe.support import written

_SECRET = "s3cr3t"  # noqa: S105 - it opens nothing


def _loaded(folder: Path, text: str, **environment: str) -> Config:
    path = written(folder, "config.yaml", text)
    return load_config({"COMFY_RUNNER_CONFIG": str(path), **environment})


def _problems(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        _loaded(folder, text)
    return list(caught.value.problems)


def test_without_a_file_the_server_is_comfyuis_own_default() -> None:
    assert Config().find_server(None) == ServerConfig(url=DEFAULT_SERVER)
    assert DEFAULT_SERVER == "http://127.0.0.1:8188"


def test_everything_that_is_documented_is_read(tmp_path: Path) -> None:
    found = _loaded(
        tmp_path,
        """
server: elsewhere
fleet: [studio, "http://gpu2:8188"]
servers:
  studio: {url: "https://render.example:8443/comfy", headers: {Authorization: "Bearer x"}, in_flight: 4}
templates: [~/comfy/templates, other]
local: {home: ~/home, models: ~/models, comfyui: /c, python: /p, pip_args: [--index-url, "https://x"]}
""",
    )

    assert found.find_server(None) == ServerConfig(
        name="studio", url="https://render.example:8443/comfy", headers={"Authorization": "Bearer x"}, in_flight=4
    )
    assert found.find_servers(None) == (found.find_server("studio"), ServerConfig(url="http://gpu2:8188"))
    assert found.templates == (Path.home() / "comfy/templates", Path("other"))
    assert (found.local.home, found.local.models) == (Path.home() / "home", Path.home() / "models")
    assert (found.local.comfyui, found.local.python) == (Path("/c"), Path("/p"))
    assert found.local.pip_args == ("--index-url", "https://x")


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
def test_an_empty_file_is_the_default(tmp_path: Path, text: str) -> None:
    assert _loaded(tmp_path, text) == Config()


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    found = _loaded(tmp_path, "server: a\nlocal: {home: /a, models: /m}\n", COMFY_RUNNER_SERVER="b", COMFY_RUNNER_LOCAL_HOME="~/b")

    assert found.server == "b"
    assert (found.local.home, found.local.models) == (Path.home() / "b", Path("/m"))


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    assert _loaded(tmp_path, "server: a\n", COMFY_RUNNER_SERVER="", COMFY_RUNNER_LOCAL_HOME="").server == "a"


def test_a_named_server_brings_its_headers_and_a_url_brings_none() -> None:
    config = Config(servers={"studio": ServerConfig(url="http://studio", headers={"X": "1"})})

    assert config.find_server("studio").headers == {"X": "1"}
    assert config.find_server("http://studio") == ServerConfig(url="http://studio")


def test_an_empty_server_is_not_the_default_one() -> None:
    assert Config().find_server("").url == ""


def test_a_config_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file") as caught:
        load_config({"COMFY_RUNNER_CONFIG": str(tmp_path / "nowhere.yaml")})

    assert caught.value.exit_code == 2


def test_everything_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    text = "serverr: a\nserver: 5\nservers:\n  studio:\n    adress: x\nlocal:\n  model: x\n  pip_args: --index-url\n"

    found = {problem.where.rsplit("config.yaml:", 1)[1]: (problem.what, problem.hint) for problem in _problems(tmp_path, text)}

    assert found["1: serverr"] == ("there is no such setting", "did you mean server or servers?")
    assert found["2: server"] == ("input should be a valid string", "")
    assert found["4: servers.studio.url"] == ("field required", "")
    assert found["5: servers.studio.adress"][0] == "there is no such setting"
    assert found["7: local.model"] == ("there is no such setting", "did you mean models?")
    assert found["8: local.pip_args"] == ("input should be a valid tuple", "")
    assert len(found) == 6


@pytest.mark.parametrize("text", ["- a\n", "text\n", "false\n", "0\n"])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    (problem,) = _problems(tmp_path, text)

    assert problem.where.endswith("config.yaml")


def test_a_file_that_is_no_yaml_is_an_error_with_its_line(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "server: a\nserver: b\n")

    assert problem.where.endswith("config.yaml:2: server")
    assert "given twice" in problem.what


def test_a_message_never_shows_a_header(tmp_path: Path) -> None:
    problems = _problems(tmp_path, "servers:\n  a: {url: 5, headers: {Authorization: [hunter2]}, x: hunter2}\n")

    assert "hunter2" not in "".join(f"{problem} {problem.hint}" for problem in problems)


def test_the_folder_of_a_user_who_is_not_there_is_an_error(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "templates: [~nobody-of-this-name/x]\n")

    assert problem.what == "no such user's folder (got ~nobody-of-this-name)"
    assert problem.where.endswith("config.yaml:1: templates.0")


@pytest.mark.parametrize("variable", ["COMFY_RUNNER_CONFIG", "COMFY_RUNNER_LOCAL_HOME"])
def test_the_folder_of_a_user_who_is_not_there_is_an_error_in_a_variable_too(tmp_path: Path, variable: str) -> None:
    environment = {"COMFY_RUNNER_CONFIG": str(written(tmp_path, "config.yaml", ""))}

    with pytest.raises(ConfigError, match="no such user's folder") as caught:
        load_config({**environment, variable: "~nobody-of-this-name/x"})

    assert caught.value.problems[0].where == variable


def test_what_is_tried_again_is_read_and_its_faults_are_told(tmp_path: Path) -> None:
    found = _loaded(tmp_path, "retry: {server_lost: 5, out_of_memory: {times: 2, vae_decode: null}}\n").retry

    assert found is not None
    assert (found.server_lost.times, found.out_of_memory.times, found.out_of_memory.vae_decode) == (5, 2, None)
    assert Config().retry is None

    text = "retry:\n  server_los: 1\n  out_of_memory: {time: 2}\n  flat_picture: 21\n"
    problems = {problem.where.rsplit("config.yaml:", 1)[1]: problem for problem in _problems(tmp_path, text)}
    assert problems["2: retry.server_los"].hint == "did you mean server_lost?"
    assert problems["3: retry.out_of_memory.time"].hint == "did you mean times?"
    assert problems["4: retry.flat_picture.times"].what == "input should be less than or equal to 20"
    assert len(problems) == 3


# Fleets

_TWO = "servers: {studio: {url: http://studio}, attic: {url: http://attic}}\n"


def _urls(servers: tuple[ServerConfig, ...]) -> list[str]:
    return [server.url for server in servers]


def test_without_a_fleet_the_default_server_is_used_alone(tmp_path: Path) -> None:
    found = _loaded(tmp_path, _TWO + "server: attic\n")

    assert found.find_servers(None) == (found.find_server(None),)
    assert _urls(found.find_servers(())) == ["http://attic"]
    assert _urls(Config().find_servers(None)) == [DEFAULT_SERVER]


def test_a_fleet_comes_before_the_default_server_and_its_first_is_the_one_where_one_is_wanted(tmp_path: Path) -> None:
    found = _loaded(tmp_path, _TWO + "server: studio\nfleet: [attic, local, gpu3:8188]\n")

    assert _urls(found.find_servers(None)) == ["http://attic", "local", "gpu3:8188"]
    assert found.find_server(None).name == "attic"


def test_what_is_given_comes_before_the_fleet(tmp_path: Path) -> None:
    found = _loaded(tmp_path, _TWO + "fleet: [attic]\n")

    assert _urls(found.find_servers("studio")) == ["http://studio"]
    assert _urls(found.find_servers(["http://x", ServerConfig(url="http://y"), "attic"])) == [
        "http://x",
        "http://y",
        "http://attic",
    ]


def test_the_variable_comes_before_the_fleet_and_may_hold_several(tmp_path: Path) -> None:
    text = _TWO + "fleet: [attic, studio]\n"

    one = _loaded(tmp_path, text, COMFY_RUNNER_SERVER="http://x")
    several = _loaded(tmp_path, text, COMFY_RUNNER_SERVER=" studio  http://x\n")
    none = _loaded(tmp_path, text, COMFY_RUNNER_SERVER=" ")

    assert (_urls(one.find_servers(None)), one.find_server(None).url) == (["http://x"], "http://x")
    assert (_urls(several.find_servers(None)), several.find_server(None).name) == (["http://studio", "http://x"], "studio")
    assert _urls(none.find_servers(None)) == ["http://attic", "http://studio"]


def test_a_name_with_a_space_in_the_variable_is_one_name(tmp_path: Path) -> None:
    found = _loaded(tmp_path, "servers: {my studio: {url: http://studio}}\n", COMFY_RUNNER_SERVER="my studio")

    assert [server.name for server in found.find_servers(None)] == ["my studio"]


@pytest.mark.parametrize(
    "other", ["http://gpu:8188/", " http://GPU:8188", "gpu:8188", "http://me:hunter2@gpu:8188", "http://gpu:8188?token=hunter2"]
)
def test_the_same_server_given_twice_is_named_without_its_secrets(other: str) -> None:
    with pytest.raises(UsageError, match=r"given twice \(got http://gpu:8188\)") as caught:
        Config().find_servers(["http://x", other, "http://gpu:8188"])

    assert "hunter2" not in str(caught.value)


def test_servers_that_differ_in_scheme_port_or_path_are_different() -> None:
    urls = ["http://gpu", "https://gpu", "http://gpu:81", "http://gpu/a", "http://gpu/A", "http://[::1]:81", "local"]

    assert [server.place for server in Config().find_servers(urls)] == urls


def test_a_wrong_entry_of_a_fleet_is_told_with_its_line(tmp_path: Path) -> None:
    text = _TWO + "fleet:\n  - studoi\n  - gpu2\n  - me:hunter2@gpu3\n  - http://attic/\n  - attic\n  - studio\n  - studio\n"

    found = {problem.where.rsplit("config.yaml:", 1)[1]: (problem.what, problem.hint) for problem in _problems(tmp_path, text)}

    assert found == {
        "3: fleet.0": ('is neither a server\'s name nor a URL (got "studoi")', "did you mean studio?"),
        "4: fleet.1": ('is neither a server\'s name nor a URL (got "gpu2")', "known are studio, attic, local"),
        "5: fleet.2": ('is neither a server\'s name nor a URL (got "gpu3")', "known are studio, attic, local"),
        "7: fleet.4": ("is the same server as fleet.3", "give each server once"),
        "9: fleet.6": ("is the same server as fleet.5", "give each server once"),
    }


def test_the_name_of_a_server_is_its_key_alone(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "servers:\n  studio:\n    url: http://x\n    name: attic\n")

    assert problem.where.endswith("config.yaml:4: servers.studio.name")
    assert problem.what == "a server's name is its key"


def test_a_mistyped_setting_of_a_server_is_not_taken_for_its_name(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "servers: {studio: {url: http://x, nam: attic}}\n")

    assert problem.hint == "known are url, headers, query, cacert, insecure, in_flight, comfy_api_key, cloud"


@pytest.mark.parametrize("number", ["0", "17", "-1", "2.0", "true", "many"])
def test_how_many_jobs_may_be_in_flight_is_a_number_from_1_to_16(tmp_path: Path, number: str) -> None:
    (problem,) = _problems(tmp_path, f"servers: {{studio: {{url: http://x, in_flight: {number}}}}}\n")

    assert problem.where.endswith("config.yaml:1: servers.studio.in_flight")
    assert ServerConfig(url="http://x").in_flight is None


def test_all_servers_of_the_settings_are_known_those_in_use_first(tmp_path: Path) -> None:
    def known(text: str, **environment: str) -> list[str]:
        return _urls(_loaded(tmp_path, text, **environment).known_servers())

    assert known("") == [DEFAULT_SERVER]
    assert known("server: http://x\n") == ["http://x"]
    assert known(_TWO) == ["http://studio", "http://attic"]
    assert known(_TWO + "server: attic\n") == ["http://attic", "http://studio"]
    assert known(_TWO + "fleet: [http://x, attic]\n") == ["http://x", "http://attic", "http://studio"]
    assert known(_TWO, COMFY_RUNNER_SERVER="http://y attic") == ["http://y", "http://attic", "http://studio"]


# Secrets


def test_values_of_the_environment_take_the_place_of_their_names_in_headers_and_queries(tmp_path: Path) -> None:
    text = """
token: ${TOKEN}
query: {key: "k-${TOKEN}"}
servers:
  studio: {url: "http://${TOKEN}", headers: {Authorization: "Bearer ${TOKEN}"}, query: {token: "${TOKEN}${OTHER}"}}
"""

    found = _loaded(tmp_path, text, TOKEN=_SECRET, OTHER="$x")

    assert found.servers["studio"].headers == {"Authorization": "Bearer s3cr3t"}
    assert found.servers["studio"].query == {"token": "s3cr3t$x"}
    assert (found.token, found.query) == ("s3cr3t", {"key": "k-s3cr3t"})
    assert found.servers["studio"].url == "http://${TOKEN}"


def test_a_name_that_the_environment_does_not_have_is_an_error_with_its_place(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, 'servers: {studio: {url: x, headers: {Authorization: "Bearer ${TOKEN}"}}}\n')

    assert problem.where.endswith("config.yaml:1: servers.studio.headers.Authorization")
    assert (problem.what, problem.hint) == ("the environment has no TOKEN", "export TOKEN=…")


def test_token_and_query_of_the_environment_are_for_servers_given_by_their_url_alone(tmp_path: Path) -> None:
    text = "servers: {studio: {url: http://studio}}\n"

    found = _loaded(tmp_path, text, COMFY_RUNNER_TOKEN=_SECRET, COMFY_RUNNER_QUERY="key=k%20k&a=b")

    assert found.find_server("http://x") == ServerConfig(
        url="http://x", headers={"Authorization": "Bearer s3cr3t"}, query={"key": "k k", "a": "b"}
    )
    assert found.find_server("studio") == ServerConfig(name="studio", url="http://studio")


def test_a_query_that_is_none_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="COMFY_RUNNER_QUERY: must be like token=") as caught:
        _loaded(tmp_path, "", COMFY_RUNNER_QUERY="hunter2")

    assert "hunter2" not in str(caught.value)


def test_no_secret_is_in_the_text_of_a_config(tmp_path: Path) -> None:
    text = "token: hunter2\nquery: {k: hunter2}\nservers: {a: {url: x, headers: {b: hunter2}, query: {c: hunter2}}}\n"

    assert "hunter2" not in repr(_loaded(tmp_path, text))


def test_all_about_a_server_can_be_given_at_once() -> None:
    server = ServerConfig(url="http://x", insecure=True)

    assert Config(token=_SECRET).find_server(server) is server


def test_a_plus_in_a_token_of_the_environment_is_a_plus(tmp_path: Path) -> None:
    assert _loaded(tmp_path, "", COMFY_RUNNER_QUERY="token=a+b%2Bc/d==").query == {"token": "a+b+c/d=="}


def test_what_models_may_be_fetched_from(tmp_path: Path) -> None:
    text = """
models:
  fetch: true
  hosts: [HuggingFace.co, "*.example.org", "http://nas:8000", "s3://bucket"]
  tokens: {huggingface.co: "${MY_TOKEN}"}
  cache: ~/models
  cache_size: 500 GB
"""
    found = _loaded(tmp_path, text, MY_TOKEN=_SECRET, HF_TOKEN=_SECRET[::-1]).models

    assert found.hosts == ("huggingface.co", "*.example.org", "http://nas:8000", "s3://bucket")
    assert (found.fetch, found.cache, found.cache_size) == (True, Path.home() / "models", 500_000_000_000)
    assert found.tokens == {"huggingface.co": _SECRET}
    assert _SECRET not in repr(found)


def test_the_environments_token_is_for_hugging_face() -> None:
    assert load_config({"COMFY_RUNNER_CONFIG": os.devnull, "HF_TOKEN": _SECRET}).models.tokens == {"huggingface.co": _SECRET}
    assert Config().models.tokens == {}
    assert (Config().models.fetch, Config().models.hosts) == (False, ())


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("hosts: [huggingface.co/a]", "must be a host such as"),
        ("hosts: ['https://me@h']", "must be a host such as"),
        ("hosts: ['*']", "must be a host such as"),
        ("hosts: ['*.*.org']", "must be a host such as"),
        ("cache_size: large", "must be a number of bytes, or a size such as"),
        ("cache_size: 0", "must be more than 0 bytes"),
        ("tokens: {h: '${NONE}'}", "the environment has no NONE"),
        ("host: [h]", "there is no such setting"),
    ],
)
def test_what_is_wrong_about_models_is_told(tmp_path: Path, setting: str, what: str) -> None:
    (problem,) = _problems(tmp_path, f"models:\n  {setting}\n")

    assert what in problem.what
    assert ":2: models." in problem.where


def test_an_api_key_is_read_and_never_shown(tmp_path: Path) -> None:
    key = "comfyui-0123"
    text = 'comfy_api_key: "${KEY}"\nservers: {studio: {url: "http://studio", comfy_api_key: "${KEY}"}}\n'

    found = _loaded(tmp_path, text, KEY=f" {key}\n", COMFY_API_KEY="")

    assert (found.comfy_api_key, found.servers["studio"].comfy_api_key) == (key, key)
    assert key not in repr(found)
    assert _loaded(tmp_path, text, KEY=key, COMFY_API_KEY="another-key").comfy_api_key == "another-key"
    for given in ("a b c d e f", "schlüssel-1", "short"):
        with pytest.raises(ConfigError) as caught:
            _loaded(tmp_path, "", COMFY_API_KEY=given)
        assert str(caught.value).startswith("COMFY_API_KEY: is no API key")
        assert given not in str(caught.value)
        (problem,) = _problems(tmp_path, f"comfy_api_key: {given}\n")
        assert problem.what.startswith("is no API key")
        assert given not in str(problem)
