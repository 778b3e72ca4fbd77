"""MLmodel files: what is read from them, and what is refused."""

import time

import pytest

from models_app.formats import mlmodel

SKLEARN = b"""\
artifact_path: mlflow-artifacts:/0/models/m-1/artifacts
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.9
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.6.1
is_signature_from_type_hint: false
mlflow_version: 3.17.2
model_size_bytes: 1234
signature:
  inputs: '[{"type": "double", "name": "amount", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-05-01 10:00:00.000000'
"""


def test_a_scikit_learn_model():
    facts = mlmodel.read(SKLEARN)
    assert (facts.framework, facts.framework_version) == ("scikit-learn", "1.6.1")
    assert facts.python_version == "3.11.9"
    assert facts.flavors == ("python_function", "sklearn")
    assert facts.signature == {
        "inputs": [{"type": "double", "name": "amount", "required": True}],
        "outputs": [{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}],
    }


@pytest.mark.parametrize(
    "flavors,expected",
    [
        ("xgboost: {xgb_version: 2.1.0}", ("xgboost", "2.1.0")),
        ("pytorch: {pytorch_version: 2.5.1, model_data: data}", ("pytorch", "2.5.1")),
        ("transformers: {source_model_name: x, transformers_version: '4.50'}", ("transformers", "4.50")),
        ("keras: {keras_version: 3.1}\n  onnx: {onnx_version: 1.17}", ("keras", "3.1")),
        ("onnx: {onnx_version: 1.17}", ("onnx", "1.17")),
        ("somebody_elses: {model_version: 7}", ("somebody_elses", "7")),
        ("somebody_elses: {}", ("somebody_elses", "")),
        ("python_function: {loader_module: mlflow.pyfunc.model}", ("mlflow.pyfunc", "")),
    ],
)
def test_frameworks_and_their_versions(flavors, expected):
    facts = mlmodel.read(f"flavors:\n  {flavors}\n".encode())
    assert (facts.framework, facts.framework_version) == expected


def test_what_is_odd_is_left_out():
    assert mlmodel.read(b"flavors: 3\nsignature: [1]\n") == mlmodel.MLmodel()
    odd = b"signature: {inputs: 'no json', outputs: '{\"a\": 1}', params: '[]'}"
    assert mlmodel.read(odd).signature == {}
    deep = b"signature: {inputs: '" + b"[" * 50_000 + b"'}"
    assert mlmodel.read(deep).signature == {}
    assert mlmodel.read(b"signature: {inputs: '[NaN]'}").signature == {"inputs": [None]}


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(12)
)


@pytest.mark.parametrize(
    "data,word",
    [
        (BOMB, "aliases"),
        (b"a: &x 1\nb: *x\n", "aliases"),
        (b"a: !!python/object/apply:os.system ['true']\n", "tags"),
        (b"? [1, 2]\n: 3\n", "no text"),
        (b"a: " + b"[" * 1000 + b"]" * 1000, "too deep"),
        (b"a: [" + b"1," * 30_000 + b"]", "too large"),
        (b"x" * (mlmodel.MAX_BYTES + 1), "more than"),
        (b"- a\n- b\n", "names with values"),
        (b"", "names with values"),
        (b"a: [", "no YAML"),
        (b"\xff\xfe\x00a", "MLmodel"),
        (b"a\x00b", "no YAML"),
    ],
)
def test_bad_files_are_refused_quickly(data, word):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=word):
        mlmodel.read(data)
    assert time.perf_counter() - start < 2
