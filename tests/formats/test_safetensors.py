"""Headers of safetensors files: what the format's own writer makes is read, everything else is refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.safetensors import Header, Tensor, header_length, read_header

np = pytest.importorskip("numpy")
save = pytest.importorskip("safetensors.numpy").save


def file_of(header, body=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + body


def one(**changes):
    return file_of({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}, bytes(8))


def test_what_the_library_writes():
    data = save(
        {
            "embed.weight": np.zeros((10, 4), dtype=np.float32),
            "bias": np.zeros((4,), dtype=np.int64),
            "empty": np.zeros((0, 7), dtype=np.float16),
            "scalar": np.array(1.5),
        },
        metadata={"format": "np", "épochs": "3"},
    )
    header = read_header(data[: header_length(data)], size=len(data))
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in header.tensors} == {
        "embed.weight": ("F32", (10, 4)),
        "bias": ("I64", (4,)),
        "empty": ("F16", (0, 7)),
        "scalar": ("F64", ()),
    }
    assert header.metadata == {"format": "np", "épochs": "3"}
    assert header.parameters == 45


def test_tensors_come_in_the_order_of_their_bytes():
    header = {
        "b": {"dtype": "U8", "shape": [1], "data_offsets": [2, 3]},
        "a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
    }
    assert [tensor.name for tensor in read_header(file_of(header)).tensors] == ["a", "b"]


def test_no_tensors_at_all():
    assert read_header(file_of(b"{}")) == Header((), {})


def test_half_bytes_count():
    header = {"q": {"dtype": "F4", "shape": [3, 2], "data_offsets": [0, 3]}}
    assert read_header(file_of(header)).tensors == (Tensor("q", "F4", (3, 2)),)


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "Too short"),
        (b"\0" * 8, "no sense"),
        (b"\xff" * 8, "no sense"),
        ((9 << 20).to_bytes(8, "little"), "at most"),
        ((100).to_bytes(8, "little") + b"{}", "ends within"),
        (file_of(b"no json"), "no JSON"),
        (file_of(b"\xff\xff"), "no JSON"),
        (file_of(b"[" * 200_000), "no JSON"),
        (file_of([]), "no JSON object"),
        (file_of(b'{"a": 1, "a": 2}'), "twice"),
        (file_of({"__metadata__": {"a": 1}}), "metadata"),
        (file_of({"__metadata__": []}), None),
        (file_of({"w": 1}), "no JSON object"),
        (one(dtype="F33"), "element type"),
        (one(dtype=None), "element type"),
        (one(dtype=[]), "element type"),
        (one(shape=[-2]), "shape"),
        (one(shape=[2.0]), "shape"),
        (one(shape=[True, 2]), "shape"),
        (one(shape=[1] * 65), "shape"),
        (one(shape=[3]), "do not fit"),
        (one(shape=[1 << 62] * 64), "do not fit"),
        (one(data_offsets=[8, 0]), "place"),
        (one(data_offsets=[0]), "place"),
        (one(data_offsets=[4, 12]) + bytes(4), "hole"),
        (one(data_offsets=[0, 1 << 70]), "place"),
    ],
)
def test_what_is_wrong_is_said(data, why):
    if why is None:
        assert read_header(data, size=len(data)).metadata == {}
        return
    with pytest.raises(ValueError, match=why):
        read_header(data, size=len(data))


def test_a_file_that_ends_early():
    data = one()
    with pytest.raises(ValueError, match="file ends before"):
        read_header(data, size=len(data) - 1)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(ValueError):
        read_header(data, size=len(data))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["w", "b", "__metadata__"]),
        json_values
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "U8"]) | json_values,
                "shape": json_values,
                "data_offsets": json_values,
            }
        ),
    )
)
def test_any_header_is_read_or_refused(header):
    with contextlib.suppress(ValueError):
        read_header(file_of(header), size=1000)
