"""The metrics of lib/train/metrics*.ts by scikit-learn, numpy and SQuAD's own evaluation. JSON from stdin to stdout.

What scikit-learn warns about is null: `zero_division=nan` says where, and the means are with `zero_division=0`.
"""

import json
import sys
import warnings

import numpy as np
import squad_v2
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    hamming_loss,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

warnings.filterwarnings("ignore")
BINS = 15


def number(value):
    """JSON has no NaN."""
    return None if value is None or np.isnan(value) else float(value)


def calibration_error(labels, probabilities):
    """The bins of `calibration_curve`, which leaves empty ones out, weighted by how many posts are in them."""
    frequency, mean = calibration_curve(labels, probabilities, n_bins=BINS, strategy="uniform")
    bins = np.searchsorted(np.linspace(0.0, 1.0, BINS + 1)[1:-1], probabilities)
    counts = np.bincount(bins, minlength=BINS)
    return float(np.sum(counts[counts > 0] * np.abs(frequency - mean)) / len(labels))


def criteria(case):
    """case: probabilities [N][K], labels [N][K], thresholds [K]."""
    probabilities = np.array(case["probabilities"])
    labels = np.array(case["labels"])
    predicted = (probabilities >= np.array(case["thresholds"])).astype(int)
    posts, criteria = labels.shape

    def each(metric):
        if criteria > 1:
            return metric(labels, predicted, average=None, zero_division=np.nan)
        # One column is a binary problem to scikit-learn.
        return [metric(labels[:, 0], predicted[:, 0], zero_division=np.nan)]

    per_criterion = []
    for k in range(criteria):
        truth, scores = labels[:, k], probabilities[:, k]
        positives = int(truth.sum())
        per_criterion.append(
            {
                "f1": number(each(f1_score)[k]),
                "precision": number(each(precision_score)[k]),
                "recall": number(each(recall_score)[k]),
                "pr_auc": number(average_precision_score(truth, scores)) if positives else None,
                "roc_auc": number(roc_auc_score(truth, scores)) if 0 < positives < posts else None,
                "brier": float(brier_score_loss(truth, scores, pos_label=1)),
                "ece": calibration_error(truth, scores),
                "support": positives,
                "confusion_matrix": confusion_matrix(truth, predicted[:, k], labels=[0, 1]).tolist(),
            }
        )

    def averaged(metric, average, zero_division=0):
        if criteria > 1:
            return float(metric(labels, predicted, average=average, zero_division=zero_division))
        return float(metric(labels[:, 0], predicted[:, 0], zero_division=zero_division))

    def micro(metric):
        return number(averaged(metric, "micro", np.nan))

    def weighted(metric):
        return averaged(metric, "weighted") if labels.any() else None

    defined = [one["roc_auc"] for one in per_criterion if one["roc_auc"] is not None]
    curves = []
    for k in range(criteria):
        precision, recall, threshold = precision_recall_curve(labels[:, k], probabilities[:, k])
        # Thresholds ascend there, and the last point is no threshold's.
        curve = {"threshold": threshold, "precision": precision[:-1], "recall": recall[:-1]}
        curves.append({name: values[::-1].tolist() for name, values in curve.items()} if labels[:, k].any() else None)
    return {
        "metrics": {
            "accuracy": 1 - hamming_loss(labels, predicted),
            "subset_accuracy": accuracy_score(labels, predicted),
            "macro_f1": averaged(f1_score, "macro"),
            "macro_precision": averaged(precision_score, "macro"),
            "macro_recall": averaged(recall_score, "macro"),
            "micro_f1": micro(f1_score),
            "micro_precision": micro(precision_score),
            "micro_recall": micro(recall_score),
            "weighted_f1": weighted(f1_score),
            "weighted_precision": weighted(precision_score),
            "weighted_recall": weighted(recall_score),
            "macro_pr_auc": float(np.mean([one["pr_auc"] or 0.0 for one in per_criterion])),
            "macro_roc_auc": float(np.mean(defined)) if defined else None,
            "macro_brier": float(np.mean([one["brier"] for one in per_criterion])),
            "macro_ece": float(np.mean([one["ece"] for one in per_criterion])),
            "per_criterion": per_criterion,
        },
        # What scikit-learn itself says where ours is null.
        "averages": {
            "macro_pr_auc": float(
                np.mean([average_precision_score(labels[:, k], probabilities[:, k]) for k in range(criteria)])
            ),
        },
        "curves": curves,
    }


request = json.load(sys.stdin)
json.dump(
    {
        "criteria": [criteria(case) for case in request["criteria"]],
        "squad": squad_v2.evaluate(request["squad"]),
        "squad_pairs": [squad_v2.scores(one) for one in request["squad"]],
        "percentiles": [np.percentile(one, [2.5, 97.5]).tolist() for one in request["percentiles"]],
    },
    sys.stdout,
)
