"""Random studies as users make them, and Optuna's own importances of their parameters.

In:  {"path": database, "make": [seeds], "studies": [names]}
Out: [{"name", "objectives", "importances": {parameter: share}}], those made first
"""

import json
import random
import sys
import warnings

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
INF = float("inf")


def make(path, seed):
    """All kinds of parameters, some of which depend on others; ties, infinite values, failures and prunings."""
    rng = random.Random(seed)
    objectives = 2 if seed % 5 == 4 else 1
    study = optuna.create_study(
        storage=f"sqlite:///{path}",
        study_name=f"study {seed}",
        directions=[rng.choice(["minimize", "maximize"]) for _ in range(objectives)],
        sampler=optuna.samplers.RandomSampler(seed=seed),
    )
    rounded = rng.random() < 0.3
    for number in range(rng.choice([0, 1, 2, 3, 12, 40, 80])):
        trial = study.ask()
        rate = trial.suggest_float("rate", 1e-6, 1e-1, log=True)
        layers = trial.suggest_int("layers", 1, 9, step=2)
        units = trial.suggest_int("units", 2, 300, log=True)
        kind = trial.suggest_categorical("kind", ["deep", None, True, 2, 0.5, "é"])
        value = -((rate**0.2 - 0.3) ** 2) + layers / 50 + rng.gauss(0, 0.02) + units / 1e4
        trial.suggest_float("single", 0.5, 0.5)
        trial.suggest_int("wide", -500, 500)
        if kind == "deep":
            value += 0.1 - abs(trial.suggest_float("dropout", 0, 0.55, step=0.1) - 0.2)
        elif kind is None:
            trial.suggest_float("dropout", 0, 0.9)
        if rng.random() < 0.1:
            trial.suggest_float("rare", 0, 1)
        trial.suggest_float("widening", 0, 1 if number % 3 else 2)
        end = rng.random()
        values = [rng.choice([INF, -INF]) if rng.random() < 0.03 else value, rng.random()][:objectives]
        if end < 0.85:
            study.tell(trial, [round(one, 1) if rounded else one for one in values])
        else:
            study.tell(trial, state=TrialState.PRUNED if end < 0.95 else TrialState.FAIL)
    return study.study_name


request = json.load(sys.stdin)
path = request["path"]
names = [make(path, seed) for seed in request.get("make", [])] + request.get("studies", [])
answers = []
for name in names:
    study = optuna.load_study(storage=f"sqlite:///{path}", study_name=name)
    default = get_param_importances(study)
    assert default == get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    answers.append({"name": name, "objectives": len(study.directions), "importances": default})
print(json.dumps(answers))
