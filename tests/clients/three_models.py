"""Make three models in the folder of the argument: one adds 1, one adds 2, the last dies while it loads."""

import os
import sys
from pathlib import Path

from mlflow import pyfunc


class Adds(pyfunc.PythonModel):
    def __init__(self, what):
        self.what = what

    def predict(self, context, model_input, params=None):
        return [value + self.what for value in model_input["x"]]


class Dies(pyfunc.PythonModel):
    def load_context(self, context):
        print("dying", flush=True)
        os._exit(7)

    def predict(self, context, model_input, params=None):
        return []


for name, model in (("one", Adds(1)), ("two", Adds(2)), ("dies", Dies())):
    pyfunc.save_model(Path(sys.argv[1]) / name, python_model=model, pip_requirements=["mlflow"])
print("{}")
