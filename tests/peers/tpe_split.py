"""How Optuna's TPE splits given histories into good trials and others.

Reads a JSON list of {"directions": [..], "constant_liar": bool, "trials": as in pruners.py, with "values"}, prints [numbers of
the trials below, of those above] for each. The trial to be drawn for comes after all of them.
"""

import json
import sys

from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective
from optuna.trial import TrialState
from pruners import make_study


def split(request):
    study = make_study(request)
    states = [TrialState.COMPLETE, TrialState.PRUNED] + [TrialState.RUNNING] * request["constant_liar"]
    trials = study.get_trials(deepcopy=False, states=states)
    n = sum(trial.state != TrialState.RUNNING for trial in trials)
    gamma = default_gamma if len(study.directions) == 1 else default_gamma_multiobjective
    return [[trial.number for trial in side] for side in _split_trials(study, trials, gamma(n))]


json.dump([split(request) for request in json.load(sys.stdin)], sys.stdout)
