"""Times an Optuna study of a trivial objective in an SQLite file, and prints the seconds as JSON.

Usage: study_speed.py DATABASE SAMPLER TRIALS  (SAMPLER: random or tpe)
"""

import json
import sys
import time

import optuna

path, sampler, trials = sys.argv[1:]
optuna.logging.set_verbosity(optuna.logging.ERROR)
samplers = {
    "random": lambda: optuna.samplers.RandomSampler(seed=1),
    "tpe": lambda: optuna.samplers.TPESampler(seed=1),
}


def objective(trial):
    """The objective of bench/study_speed.ts."""
    x = trial.suggest_float("x", -5.0, 10.0)
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 8)
    pooling = trial.suggest_categorical("pooling", ["cls", "mean", "max"])
    return (x - 2.0) ** 2 + rate + layers + len(pooling)


start = time.perf_counter()
study = optuna.create_study(storage=f"sqlite:///{path}", sampler=samplers[sampler]())
study.optimize(objective, n_trials=int(trials))
seconds = time.perf_counter() - start
assert len(study.trials) == int(trials)
print(json.dumps({"seconds": seconds, "best": study.best_value, "version": optuna.__version__}))
