"""The header of a safetensors file: which tensors it holds, without reading them.

The file starts with the header's length in 8 bytes, then the header as JSON, then the tensors' bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, TypeGuard

LENGTH_BYTES = 8
MAX_HEADER = 100 << 20  # as the format's own reader has it
MAX_PREVIEW = 8 << 20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name, element type as the file spells it, and dimensions."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself: tensors in the order of their bytes, and free text."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, str]

    @property
    def parameters(self) -> int:
        """How many numbers all tensors hold."""
        return sum(tensor.parameters for tensor in self.tensors)


def header_length(start: bytes, *, limit: int = MAX_PREVIEW) -> int:
    """How many bytes from the file's beginning `read_header` needs, from its first 8.

    Raises ValueError for what is no safetensors file, and for a header longer than `limit`.
    """
    if len(start) < LENGTH_BYTES:
        raise ValueError("Too short for a safetensors file.")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if not 2 <= length <= MAX_HEADER:
        raise ValueError("This is no safetensors file: the length of its header makes no sense.")
    if length > limit:
        raise ValueError(f"The header has {length} bytes; at most {limit} are read.")
    return LENGTH_BYTES + length


def read_header(start: bytes, *, size: int | None = None, limit: int = MAX_PREVIEW) -> Header:
    """The header from a file's first bytes (see `header_length`); `size` is the whole file's, to check offsets by.

    Raises ValueError that says what is wrong. Nothing in the header is trusted: offsets must fit shapes and file.
    """
    end = header_length(start, limit=limit)
    if len(start) < end:
        raise ValueError("The file ends within its header.")
    try:
        raw = json.loads(start[LENGTH_BYTES:end].decode(), object_pairs_hook=_no_twins)
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError("The header is no JSON.") from error
    if not isinstance(raw, dict):
        raise ValueError("The header is no JSON object.")
    metadata = raw.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("The metadata in the header must be text by name.")
    room = None if size is None else size - end
    placed = [_tensor(name, entry, room) for name, entry in raw.items()]
    placed.sort(key=lambda found: found[0])
    position = 0
    for (begin, until), tensor in placed:
        if begin != position:
            raise ValueError(f"The bytes of {tensor.name[:80]!a} overlap others or leave a hole.")
        position = until
    return Header(tuple(tensor for _, tensor in placed), metadata)


def _tensor(name: str, entry: Any, room: int | None) -> tuple[tuple[int, int], Tensor]:
    where = ascii(name[:80])
    if not isinstance(entry, dict):
        raise ValueError(f"The entry of {where} is no JSON object.")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"{where} has an unknown element type.")
    if not _naturals(shape) or len(shape) > 64:
        raise ValueError(f"{where} has no sensible shape.")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{where} has no sensible place in the file.")
    tensor = Tensor(name, dtype, tuple(shape))
    if tensor.parameters * _BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise ValueError(f"The bytes of {where} do not fit its shape.")
    if room is not None and offsets[1] > room:
        raise ValueError(f"The file ends before the bytes of {where} do.")
    return (offsets[0], offsets[1]), tensor


def _naturals(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 1 << 63 for number in value)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("The header names something twice.")
    return found
