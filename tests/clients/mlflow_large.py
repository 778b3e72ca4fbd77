"""Log a model that takes a while to arrive; whoever calls this ends the server meanwhile."""

import mlflow
import numpy as np

with mlflow.start_run():

    class Large(mlflow.pyfunc.PythonModel):
        def __init__(self) -> None:
            self.weights = np.random.default_rng(0).bytes(96 << 20)

        def predict(self, context, model_input: list[str], params=None) -> list[str]:
            return model_input

    mlflow.pyfunc.log_model(name="large", python_model=Large(), pip_requirements=["numpy"])
print("logged")
