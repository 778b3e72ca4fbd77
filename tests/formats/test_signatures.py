"""What people see of a signature, whatever is in it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.signatures import Column, parts


def test_columns_of_a_table():
    inputs = [
        {"type": "double", "name": "amount", "required": True},
        {"type": "string", "name": "country", "required": False},
    ]
    found = parts({"inputs": json.dumps(inputs), "outputs": '[{"type": "long", "required": true}]'})
    assert [(part.label, len(part.columns)) for part in found] == [("Inputs", 2), ("Outputs", 1)]
    assert found[0].columns[1] == Column("country", "string", required=False)
    assert found[1].columns[0].name == "–"


def test_tensors_lists_objects_and_params():
    signature = {
        "inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}],
        "outputs": [
            {
                "name": "boxes",
                "type": "array",
                "items": {"type": "object", "properties": {"x": {"type": "float"}}},
            }
        ],
        "params": [{"name": "top_k", "type": "integer", "default": 5, "shape": None}],
    }
    inputs, outputs, params = parts(signature)
    assert inputs.columns[0].type == "float32 [-1, 28, 28]"
    assert outputs.columns[0].type == "list of object {x: float}"
    assert params.columns[0] == Column("top_k", "integer", default="5")


def test_another_way_of_writing_has_no_parts():
    assert parts({"inputs": {"x": "float"}}) == []
    assert parts({"inputs": "no json ["}) == []
    assert parts({}) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "name", "tensor-spec", "shape", "dtype", "items", "properties", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values, json_values)
def test_nothing_breaks_it(inputs, params):
    for part in parts({"inputs": inputs, "params": params}):
        assert all(isinstance(column.type, str) for column in part.columns)
