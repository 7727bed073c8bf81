"""Opens a study database with Optuna itself, prints what Optuna sees as JSON, and adds a trial of Optuna's own.

Usage: optuna_read.py DATABASE STUDY_NAME
"""

import json
import math
import sys
import warnings

import optuna

path, name = sys.argv[1:]
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)


def number(value):
    """JSON has no NaN and no infinity: those become text."""
    return value if value is None or math.isfinite(value) else str(value)


study = optuna.load_study(study_name=name, storage=f"sqlite:///{path}")
seen = {
    "version": optuna.__version__,
    "direction": study.direction.name,
    "attributes": study.user_attrs,
    "best": study.best_trial.number,
    "trials": [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": None if trial.value is None else number(trial.value),
            "params": trial.params,
            "distributions": {key: repr(one) for key, one in trial.distributions.items()},
            "intermediate": {step: number(value) for step, value in trial.intermediate_values.items()},
            "attributes": trial.user_attrs,
            "has_start": trial.datetime_start is not None,
            "seconds": trial.duration.total_seconds() if trial.duration else None,
        }
        for trial in study.get_trials(deepcopy=False)
    ],
}


def objective(trial):
    """The same parameters as the study's, with ranges that differ where Optuna allows it."""
    rate = trial.suggest_float("training.learning_rate", 1e-5, 1e-3, log=True)
    trial.suggest_float("model.dropout", 0.0, 0.5, step=0.1)
    layers = trial.suggest_int("model.layers", 1, 6)
    trial.suggest_categorical("model.pooling", ["cls", "mean"])
    trial.report(rate, 1)
    trial.report(float("nan"), 2)
    trial.set_user_attr("odd", [float("nan"), float("inf")])
    return 10.0 + layers


study.sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=0)
study.optimize(objective, n_trials=1)
added = study.trials[-1]
seen["added"] = {"number": added.number, "params": added.params, "value": added.value}
seen["best_after"] = study.best_trial.number
print(json.dumps(seen))
