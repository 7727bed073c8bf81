"""A run by MLflow's own client: python mlflow_write.py TRACKING_URI EXPERIMENT, prints the run's id."""

import math
import sys

from mlflow.tracking import MlflowClient

uri, name = sys.argv[1:]
client = MlflowClient(uri)
experiment = client.get_experiment_by_name(name)
run = client.create_run(experiment.experiment_id, run_name="by python")
for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 0.1]):
    client.log_metric(run.info.run_id, "validation/f1", value, timestamp=1000 + step, step=step)
client.log_param(run.info.run_id, "lr", "0.1")
client.set_terminated(run.info.run_id)
print(run.info.run_id)
