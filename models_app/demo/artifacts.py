"""Small real files for demo versions: tensors, configuration, metrics, a plot."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib

import numpy as np
from safetensors.numpy import save

from .story import Story


def files(story: Story, number: int, metrics: dict[str, float], curve: list[float]) -> dict[str, bytes]:
    """Path to content; the same story, number and values always give the same bytes.

    One header entry in the tensors: their writer keeps several in no fixed order.
    """
    seed = zlib.crc32(f"{story.name}@{number}".encode())
    random = np.random.default_rng(seed)
    width = story.width
    tensors = {
        "embed.weight": random.standard_normal((width * 4, width), dtype=np.float32),
        "hidden.0.weight": random.standard_normal((width, width), dtype=np.float32),
        "hidden.0.bias": np.zeros(width, dtype=np.float32),
        "head.weight": random.standard_normal((8, width), dtype=np.float32),
    }
    config = {"task": story.task, "library": story.library, "width": width, "layers": 1, "outputs": 8}
    return {
        "model.safetensors": save(tensors, metadata={"model": story.name}),
        "config.json": json.dumps(config, indent=2).encode(),
        "requirements.txt": f"{story.library}\nnumpy>=2\n".encode(),
        "README.md": f"# {story.name}\n\n{story.purpose}\n".encode(),
        "evaluation/metrics.csv": _table(metrics),
        "evaluation/loss.png": plot(curve),
    }


def _table(metrics: dict[str, float]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "value"])
    writer.writerows(metrics.items())
    return text.getvalue().encode()


def plot(values: list[float], *, width: int = 240, height: int = 96) -> bytes:
    """A line over its range as a greyscale PNG (RFC 2083), drawn here so that no plotting library is needed."""
    pixels = np.full((height, width), 255, dtype=np.uint8)
    low, high = min(values), max(values)
    xs = np.linspace(4, width - 5, 4 * width)
    ys = np.interp(xs, np.linspace(4, width - 5, len(values)), values)
    rows = (height - 5 - (ys - low) / ((high - low) or 1) * (height - 10)).astype(int)
    for offset in (0, 1):
        pixels[np.clip(rows + offset, 0, height - 1), xs.astype(int)] = 40
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(lines))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
