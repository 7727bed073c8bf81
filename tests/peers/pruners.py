"""What Optuna's pruners decide on given histories.

Reads a JSON list of {"pruner": class, "options": {..}, "study_name", "direction", "number", "trials": [{"state",
"intermediate": [[step, value]], "system_attrs": {..}}]}; non-finite values are the texts "nan", "inf" and "-inf". Prints, for
each, {"prune", "attributes": the rungs that the decision stored, "visible": numbers of the trials that samplers would see}.
"""

import json
import sys
import warnings

import optuna
from optuna.trial import TrialState

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def decode(value):
    return value if isinstance(value, (list, bool)) else float(value)


def encode(value):
    return value if value == value and abs(value) != float("inf") else str(value)


def make_study(request, pruner=None):
    directions = request.get("directions") or [request["direction"]]
    study = optuna.create_study(study_name=request.get("study_name"), directions=directions, pruner=pruner)
    for trial in request["trials"]:
        state = TrialState[trial["state"]]
        values = [decode(value) for value in trial.get("values") or [0.0] * len(directions)]
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=values if state == TrialState.COMPLETE else None,
                intermediate_values={step: decode(value) for step, value in trial["intermediate"]},
                system_attrs={key: decode(value) for key, value in trial.get("system_attrs", {}).items()},
            )
        )
    return study


def make_pruner(name, options):
    if name == "PatientPruner" and "wrapped" in options:
        options = {**options, "wrapped_pruner": make_pruner(*options["wrapped"])}
        del options["wrapped"]
    elif name == "PatientPruner":
        options = {"wrapped_pruner": None, **options}
    return getattr(optuna.pruners, name)(**options)


def decide(request):
    pruner = make_pruner(request["pruner"], request["options"])
    study = make_study(request, pruner)
    trial = study.trials[request["number"]]
    prune = bool(pruner.prune(study, trial))
    after = study.trials[request["number"]].system_attrs
    visible = optuna.pruners._filter_study(study, trial).get_trials(deepcopy=False)
    return {
        "prune": prune,
        "attributes": {key: encode(value) for key, value in after.items() if key not in trial.system_attrs},
        "visible": [one.number for one in visible],
    }


if __name__ == "__main__":
    json.dump([decide(request) for request in json.load(sys.stdin)], sys.stdout)
