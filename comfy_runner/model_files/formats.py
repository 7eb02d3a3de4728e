"""The formats of model files that can be fetched, known by their bytes: safetensors, GGUF and ONNX. None of them holds programs.

What a file's name says decides how a ComfyUI reads it, so its content has to be of that very format. The first bytes are looked at
before the rest is fetched: a page for logging in, or a pickle with another name, costs no more than that.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO, Final

FIRST: Final = 16
"""How many bytes at the beginning tell what a file is not."""

_LARGEST_HEADER = 100_000_000  # as the library safetensors has it
_GGUF_VERSIONS = range(1, 64)
_ONNX_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})  # of ModelProto in onnx.proto
_ONNX_GRAPH = 7
_MOST_FIELDS = 100_000
_CUT = "ends too early"


def format_of(name: str) -> str:
    """Return the format that a model's name promises: ``safetensors``, ``gguf``, ``onnx``; empty for another one."""
    suffix = Path(name).suffix.casefold()
    return {".safetensors": "safetensors", ".sft": "safetensors", ".gguf": "gguf", ".onnx": "onnx"}.get(suffix, "")


def fault_of_start(name: str, start: bytes) -> str:
    """Return why a file cannot be what its name promises, by its first bytes; empty where it can.

    Args:
        name: The model's name.
        start: The first `FIRST` bytes, fewer where there are no more.
    """
    promised = format_of(name)
    if promised == "safetensors":
        is_it = len(start) > 9 and 2 <= int.from_bytes(start[:8], "little") <= _LARGEST_HEADER and start[8:9] == b"{"
    elif promised == "gguf":
        is_it = start[:4] == b"GGUF" and int.from_bytes(start[4:8], "little") in _GGUF_VERSIONS
    else:  # the first field of an ONNX file is its version, which is a small number
        is_it = promised == "onnx" and start[:1] == b"\x08" and 1 <= int.from_bytes(start[1:2], "little") < 128
    return "" if is_it else f"is not a {promised or 'model'} file (begins with {start[:8]!r})"


def fault_of_file(name: str, path: Path) -> str:
    """Return why a file is not what a model's name promises; empty where it is, as far as can be told without reading all of it.

    Args:
        name: The model's name.
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if fault := fault_of_start(name, file.read(FIRST)):
            return fault
        promised = format_of(name)
        fault = (
            _safetensors_fault(file, size) if promised == "safetensors" else _onnx_fault(file, size) if promised == "onnx" else ""
        )
    return f"is not a complete {promised} file ({fault})" if fault else ""


def _safetensors_fault(file: BinaryIO, size: int) -> str:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    text = file.read(length)
    if len(text) < length:
        return _CUT
    try:
        header = json.loads(text)
        ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
        last = max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return "its header cannot be read"
    return "" if 8 + length + last == size else f"its header requires {8 + length + last} bytes, but it has {size}"


def _onnx_fault(file: BinaryIO, size: int) -> str:
    """Walk over the fields of the protobuf message, without reading what is in them."""
    file.seek(0)
    fields = set()
    for _ in range(_MOST_FIELDS):
        if file.tell() == size:
            return "" if _ONNX_GRAPH in fields else "it has no graph"
        tag = _varint(file)
        if tag is None or tag >> 3 not in _ONNX_FIELDS:
            return "its fields are not those of ONNX"
        fields.add(tag >> 3)
        length = _varint(file) if tag & 7 in (0, 2) else None
        if length is None:
            return "its fields are not those of ONNX"
        if tag & 7 == 2:
            file.seek(length, os.SEEK_CUR)
        if file.tell() > size:
            return _CUT
    return "it has too many fields"


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    return None
