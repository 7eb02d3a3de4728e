from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner.config import DEFAULT_SERVER, Config, ServerConfig, load_config
from comfy_runner.errors import ConfigError, Problem
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
server: studio
servers:
  studio: {url: "https://render.example:8443/comfy", headers: {Authorization: "Bearer x"}}
templates: [~/comfy/templates, other]
local: {home: ~/home, models: ~/models, comfyui: /c, python: /p, pip_args: [--index-url, "https://x"]}
""",
    )

    assert found.find_server(None) == ServerConfig(url="https://render.example:8443/comfy", headers={"Authorization": "Bearer x"})
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

    assert problem.where.endswith("config.yaml: servers.studio.headers.Authorization")
    assert (problem.what, problem.hint) == ("the environment has no TOKEN", "export TOKEN=…")


def test_token_and_query_of_the_environment_are_for_servers_given_by_their_url_alone(tmp_path: Path) -> None:
    text = "servers: {studio: {url: http://studio}}\n"

    found = _loaded(tmp_path, text, COMFY_RUNNER_TOKEN=_SECRET, COMFY_RUNNER_QUERY="key=k%20k&a=b")

    assert found.find_server("http://x") == ServerConfig(
        url="http://x", headers={"Authorization": "Bearer s3cr3t"}, query={"key": "k k", "a": "b"}
    )
    assert found.find_server("studio") == ServerConfig(url="http://studio")


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
