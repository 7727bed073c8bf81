"""Random studies made by Optuna, and any study as Optuna sees it.

Usage: optuna_studies.py, with a request as JSON on stdin:
  {"path", "make": [SEED, ...]}      makes a study of each seed, and prints what Optuna sees of them
  {"path", "studies": [NAME, ...]}   prints what Optuna sees of these
  {"path", "studies", "optimize": TRIALS}  continues them with Optuna's TPE first
Numbers that are not finite are written as Python writes them: NaN, Infinity, -Infinity.
"""

import datetime
import json
import random
import sqlite3
import sys
import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")

NAN, INF = float("nan"), float("inf")


def utc(time):
    """To the millisecond, as Winnow keeps times."""
    if time is None:
        return None
    return time.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(distribution):
    if isinstance(distribution, CategoricalDistribution):
        return {"type": "categorical", "choices": list(distribution.choices)}
    kind = "int" if isinstance(distribution, IntDistribution) else "float"
    attributes = {key: getattr(distribution, key) for key in ("low", "high", "log", "step")}
    return {"type": kind, **attributes}


def seen(study):
    trials = study.get_trials(deepcopy=False)
    return {
        "name": study.study_name,
        "directions": [direction.name.lower() for direction in study.directions],
        "userAttributes": study.user_attrs,
        "systemAttributes": study._storage.get_study_system_attrs(study._study_id),
        "best": [trial.number for trial in study.best_trials],
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name,
                "params": list(trial.params.items()),
                "distributions": {name: plain(one) for name, one in trial.distributions.items()},
                "values": trial.values,
                "intermediate": sorted(trial.intermediate_values.items()),
                "userAttributes": trial.user_attrs,
                "systemAttributes": trial.system_attrs,
                "started": utc(trial.datetime_start),
                "completed": utc(trial.datetime_complete),
            }
            for trial in trials
        ],
    }


def make(path, seed):
    """Trials as users make them: conditional parameters, reports, prunings, failures, queues, odd attributes."""
    rng = random.Random(seed)
    objectives = rng.choice([1, 1, 2, 3])
    study = optuna.create_study(
        storage=f"sqlite:///{path}",
        study_name=f"study {seed} é😀",
        directions=[rng.choice(["minimize", "maximize"]) for _ in range(objectives)],
        sampler=optuna.samplers.RandomSampler(seed=seed),
    )
    odd = [NAN, INF, -INF, "NaN", "\u0000NaN \" Infinity", {"a": [1, None, True, {"b": -INF}]}, 0.1, 10**15, "é😀", [], {}]
    value = lambda: rng.choice([rng.uniform(-5, 5), rng.uniform(-5, 5), INF, -INF, 0.0, 3.0])
    for key in range(rng.randint(0, 3)):
        study.set_user_attr(f"key {key}", rng.choice(odd))
        study._storage.set_study_system_attr(study._study_id, f"system:{key}", rng.choice(odd))
    for _ in range(rng.randint(0, 2)):
        study.enqueue_trial({"x": rng.uniform(-20, 20), "kind": rng.choice(["deep", None])}, user_attrs={"by": "hand"})
    for _ in range(rng.randint(1, 12)):
        trial = study.ask()
        if rng.random() < 0.9:
            trial.suggest_float("x", -5, rng.choice([5, 7.5]))
            if trial.suggest_categorical("kind", ["deep", None, True, 2, 0.5, "é"]) == "deep":
                trial.suggest_int("layers", 1, 9, step=2)
                trial.suggest_float("rate", 1e-6, 1e-1, log=True)
            else:
                trial.suggest_float("dropout", 0, 0.55, step=0.1)
                trial.suggest_int("units", 2, 64, log=True)
        for key in range(rng.randint(0, 2)):
            trial.set_user_attr(f"key {key}", rng.choice(odd))
        if rng.random() < 0.3:
            trial.set_constraint("memory", rng.uniform(-1, 1))
        if objectives == 1:
            for step in rng.sample(range(100), rng.randint(0, 4)):
                trial.report(rng.choice([NAN, INF, -INF, rng.random()]), step)
        end = rng.random()
        if end < 0.5:
            study.tell(trial, [value() for _ in range(objectives)])
        elif end < 0.65:
            study.tell(trial, state=TrialState.PRUNED)
        elif end < 0.8:
            study.tell(trial, state=TrialState.FAIL)
        elif end < 0.9:
            study.tell(trial, NAN)
    for _ in range(rng.randint(0, 2)):
        study.enqueue_trial({"x": 1.0})
    distribution = FloatDistribution(0, 1)
    study.add_trial(
        optuna.create_trial(
            state=TrialState.COMPLETE,
            values=[value() for _ in range(objectives)],
            params={"added": 0.25},
            distributions={"added": distribution},
            intermediate_values={} if objectives > 1 else {3: NAN, 0: 0.5},
        )
    )
    age(path, rng)
    return study


def age(path, rng):
    """Writes some distributions and times as earlier versions of Optuna did."""
    short = {"FloatDistribution": "float", "IntDistribution": "int", "CategoricalDistribution": "categorical"}
    with sqlite3.connect(path) as connection:
        for row, text in connection.execute("SELECT param_id, distribution_json FROM trial_params").fetchall():
            stored = json.loads(text)
            if stored.get("name") not in short:
                continue  # aged before
            name, attributes = stored["name"], stored["attributes"]
            low, high, step = (attributes.get(key) for key in ("low", "high", "step"))
            chance = rng.random()
            if chance < 0.4:
                continue
            if chance < 0.7:
                old = {"type": short[name], **{key: one for key, one in attributes.items() if one is not None}}
            elif name == "FloatDistribution" and attributes["log"]:
                old = {"name": "LogUniformDistribution", "attributes": {"low": low, "high": high}}
            elif name == "FloatDistribution" and step is not None:
                old = {"name": "DiscreteUniformDistribution", "attributes": {"low": low, "high": high, "q": step}}
            elif name == "FloatDistribution":
                old = {"name": "UniformDistribution", "attributes": {"low": low, "high": high}}
            elif name == "IntDistribution" and attributes["log"]:
                old = {"name": "IntLogUniformDistribution", "attributes": {"low": low, "high": high, "step": 1}}
            elif name == "IntDistribution":
                old = {"name": "IntUniformDistribution", "attributes": {"low": low, "high": high, "step": step}}
            else:
                continue
            connection.execute("UPDATE trial_params SET distribution_json = ? WHERE param_id = ?", (json.dumps(old), row))
        connection.execute("UPDATE trials SET datetime_start = substr(datetime_start, 1, 19) WHERE trial_id % 3 = 0")
    connection.close()


def objective(trial):
    """A parabola of two variables; the second one depends on a choice."""
    x = trial.suggest_float("x", -5.0, 5.0)
    if trial.suggest_categorical("kind", ["plain", "shifted"]) == "plain":
        return (x - 1.0) ** 2
    return (x - 1.0) ** 2 + (trial.suggest_float("y", 0.0, 2.0) - 1.0) ** 2


def load(path, name, **options):
    return optuna.load_study(storage=f"sqlite:///{path}", study_name=name, **options)


request = json.load(sys.stdin)
path = request["path"]
if "make" in request:
    names = [make(path, seed).study_name for seed in request["make"]]
else:
    names = request["studies"]
    if "optimize" in request:
        sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=5)
        for name in names:
            load(path, name, sampler=sampler).optimize(objective, n_trials=request["optimize"])
print(json.dumps(json.dumps([seen(load(path, name)) for name in names])))
