from __future__ import annotations

import pytest

from comfy_runner.engine.comfyui.address import Address, parse_address
from comfy_runner.errors import UsageError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("http://gpu.lan", "http://gpu.lan"),
        ("HTTPS://GPU.lan:443/", "https://gpu.lan:443"),
        ("https://gpu.lan/comfy/", "https://gpu.lan/comfy"),
        ("[::1]:8188", "http://[::1]:8188"),
        ("http://[fe80::1]:8188/x", "http://[fe80::1]:8188/x"),
        ("localhost", "http://localhost"),
    ],
)
def test_an_address_is_made_exact(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "ftp://gpu.lan",
        "http://gpu.lan:port",
        "http://gpu.lan:99999",
        "http://gpu.lan?token=1",
        "http://gpu.lan#x",
        "http://[::1",
        "gpu lan",
        "http://gpu.lan/a b",
        "http://gpu.lan\n.evil",
        "http://gpu.lan/a\tb",
        "http://gpu.lan:0",
        "//gpu.lan",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_address_is_a_usage_error_with_a_way_out(text: str) -> None:
    with pytest.raises(UsageError, match="not the address of a server") as caught:
        parse_address(text)
    assert caught.value.problems[0].hint


def test_what_is_no_address_at_all_is_answered_with_one() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("ftp://gpu.lan")
    assert "http://127.0.0.1:8188" in caught.value.problems[0].hint


def test_a_token_in_the_query_is_not_in_the_error_about_it() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("http://gpu.lan?token=s3cret")
    assert "s3cret" not in str(caught.value)
    assert "query" in caught.value.problems[0].hint


def test_query_parameters_are_sent_with_the_websocket_and_are_in_nothing_that_is_printed() -> None:
    address = parse_address("http://gpu.lan", query={"token": "s3cret"})
    assert address.websocket("id") == "ws://gpu.lan/ws?token=s3cret&clientId=id"
    assert "s3cret" not in address.url + repr(address)


def test_a_password_becomes_a_header_and_is_in_nothing_that_is_printed() -> None:
    address = parse_address("https://ann:s%40cret@gpu.lan")
    assert address.headers == {"Authorization": "Basic YW5uOnNAY3JldA=="}
    assert "cret" not in address.url + repr(address)


def test_a_password_is_not_in_the_error_about_its_address() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("https://ann:s3cret@gpu.lan:port")
    assert "s3cret" not in str(caught.value)


def test_headers_of_the_configuration_are_kept_beside_a_password() -> None:
    address = parse_address("http://ann:x@gpu.lan", headers={"X-Token": "t"})
    assert set(address.headers) == {"X-Token", "Authorization"}


def test_a_password_replaces_a_header_of_the_same_name_however_it_is_written() -> None:
    address = parse_address("http://ann:x@gpu.lan", headers={"authorization": "Bearer t"})
    assert list(address.headers.values()) == ["Basic YW5uOng="]


@pytest.mark.parametrize("headers", [{"X-Token": "a\r\nX-Evil: 1"}, {"X Token": "a"}, {"": "a"}, {"X-Token": "\N{SNOWMAN}"}])
def test_a_header_that_cannot_be_sent_is_a_usage_error_that_does_not_show_its_value(headers: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="header") as caught:
        parse_address("http://gpu.lan", headers=headers)
    assert "Evil" not in str(caught.value)


def test_routes_and_the_websocket_are_below_the_path_of_the_address() -> None:
    address = Address("https://gpu.lan/comfy")
    assert address.http("/prompt") == "https://gpu.lan/comfy/prompt"
    assert address.websocket("a b&c") == "wss://gpu.lan/comfy/ws?clientId=a+b%26c"


def test_the_websocket_of_a_plain_address_is_plain() -> None:
    assert parse_address("gpu.lan:8188").websocket("id") == "ws://gpu.lan:8188/ws?clientId=id"
