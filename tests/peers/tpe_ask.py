"""Times Optuna's ask on a conditional space with many finished trials.

Reads {"repetitions": n, "trials": [{"params": {..}, "value": v}], "space": {name: [OptunaJson, {parent: value} or null]}} as
JSON; a parameter is suggested when all of its parents have these values. Prints {"optuna": version, "seconds": [..]}: of one
trial each, asked for and given all of its parameters.
"""

import json
import sys
import time
import warnings

import optuna
from optuna.distributions import json_to_distribution

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)

request = json.load(sys.stdin)
space = {name: (json_to_distribution(text), parents) for name, (text, parents) in request["space"].items()}
study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, group=True))
for trial in request["trials"]:
    distributions = {name: space[name][0] for name in trial["params"]}
    study.add_trial(
        optuna.trial.create_trial(params=trial["params"], distributions=distributions, value=trial["value"])
    )

seconds = []
for _ in range(request["repetitions"]):
    start = time.perf_counter()
    trial = study.ask()
    values = {}
    for name, (distribution, parents) in space.items():
        if all(values.get(parent) == value for parent, value in (parents or {}).items()):
            values[name] = trial._suggest(name, distribution)
    seconds.append(time.perf_counter() - start)
    study.tell(trial, 1.0 + len(seconds))
json.dump({"optuna": optuna.__version__, "seconds": seconds}, sys.stdout)
