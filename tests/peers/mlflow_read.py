"""What MLflow has of an experiment: python mlflow_read.py TRACKING_URI EXPERIMENT, prints JSON."""

import json
import math
import sys

from mlflow.tracking import MlflowClient

uri, name = sys.argv[1:]
client = MlflowClient(uri)
experiment = client.get_experiment_by_name(name)


def number(value):
    return value if math.isfinite(value) else str(value)


runs = []
for run in client.search_runs([experiment.experiment_id], max_results=1000):
    info = run.info
    runs.append(
        {
            "id": info.run_id,
            "name": info.run_name,
            "status": info.status,
            "lifecycle": info.lifecycle_stage,
            "start": info.start_time,
            "end": info.end_time,
            "tags": run.data.tags,
            "params": run.data.params,
            "latest": {key: number(value) for key, value in run.data.metrics.items()},
            "history": {
                key: [[m.step, number(m.value), m.timestamp] for m in client.get_metric_history(info.run_id, key)]
                for key in run.data.metrics
            },
            "artifacts": [a.path for a in client.list_artifacts(info.run_id)],
        }
    )
print(json.dumps({"experiment": experiment.experiment_id, "tags": experiment.tags, "runs": runs}))
