"""What model files begin with and consist of: each format is told from all else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfy_runner.model_files.formats import FIRST, fault_of_file, fault_of_start, format_of
from tests.model_files.support import safetensors

GGUF = b"GGUF" + (3).to_bytes(4, "little") + bytes(24)


def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return bytes([number << 3, content])
    length = len(content)
    return bytes([number << 3 | 2, length & 127 | 128, length >> 7]) + content


# ModelProto of onnx.proto: ir_version, producer_name, graph, opset_import.
ONNX = _field(1, 8) + _field(2, b"pytorch") + _field(7, b"\x0a" + b"graph" * 300) + _field(8, b"\x10\x11")
WHOLE = {"a.safetensors": safetensors(1000), "a.sft": safetensors(1000), "a.GGUF": GGUF, "a.onnx": ONNX}


def _fault(folder: Path, name: str, content: bytes) -> str:
    path = folder / "model"
    path.write_bytes(content)
    return fault_of_file(name, path)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_what_they_are(tmp_path: Path, name: str) -> None:
    assert fault_of_start(name, WHOLE[name][:FIRST]) == ""
    assert _fault(tmp_path, name, WHOLE[name]) == ""


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"<html>" * 100,
        b"PK\x03\x04" + bytes(100),  # what torch.save writes: a zip with a pickle
        b"\x80\x02}q\x00" + bytes(100),  # a bare pickle
        (2**40).to_bytes(8, "little") + b"{" + bytes(100),
        b"\x7fELF" + bytes(100),
        b"#!/bin/sh\nrm -rf /\n",
        b"\x08",
        b"\x08\x08\xff",
    ],
)
def test_other_files_are_not(tmp_path: Path, name: str, content: bytes) -> None:
    assert _fault(tmp_path, name, content) != ""


@pytest.mark.parametrize("name", ["a.safetensors", "a.onnx"])
def test_a_file_of_another_length_is_not_whole(tmp_path: Path, name: str) -> None:
    for content in (WHOLE[name][:-1], WHOLE[name] + b"\0"):
        assert f"is not a complete {format_of(name)} file" in _fault(tmp_path, name, content)


@pytest.mark.parametrize("name", WHOLE)
def test_no_file_has_two_formats(tmp_path: Path, name: str) -> None:
    for other, content in WHOLE.items():
        assert (_fault(tmp_path, name, content) == "") == (format_of(other) == format_of(name))


@pytest.mark.parametrize(
    "header", [b"[]", b"{}x", b'{"w": 1}', b'{"w": {}}', b'{"w": {"data_offsets": [0]}}', b'{"w": {"data_offsets": [0, "x"]}}']
)
def test_a_header_that_makes_no_sense(tmp_path: Path, header: bytes) -> None:
    assert _fault(tmp_path, "a.safetensors", len(header).to_bytes(8, "little") + header) != ""


def test_a_header_that_is_deep(tmp_path: Path) -> None:
    header = b'{"w":' * 100_000
    assert "cannot be read" in _fault(tmp_path, "a.safetensors", len(header).to_bytes(8, "little") + header)


def test_metadata_are_no_tensor(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode()
    assert _fault(tmp_path, "a.safetensors", len(header).to_bytes(8, "little") + header + b"xy") == ""


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.bin", "a", "a.safetensors.zip", ".safetensors"])
def test_other_names_promise_nothing(name: str) -> None:
    assert format_of(name) == ""
    assert fault_of_start(name, b"\x08\x08") != ""
