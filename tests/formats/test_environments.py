"""What a model needs to run."""

from models_app.formats.environments import MAX_PACKAGES, read


def test_python_and_packages():
    found = read(
        requirements=b"# made by a client\nmlflow==3.17.2\n\nscikit-learn==1.9.1\n",
        python_env=b"python: 3.11.7\nbuild_dependencies:\n- pip==25\n",
    )
    assert found.python == "3.11.7"
    assert found.packages == ["mlflow==3.17.2", "scikit-learn==1.9.1"]


def test_nothing_and_too_much():
    assert read().packages == []
    assert read().python == ""
    assert len(read(requirements=b"x\n" * 10_000).packages) == MAX_PACKAGES
    assert read(requirements=b"\xff\xfe\x00", python_env=b"\xff").python == ""
