"""The metrics of lib/train/metrics*.ts by scikit-learn and by SQuAD v1's own F1. JSON from stdin to stdout."""

import json
import sys
from collections import Counter

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    multilabel_confusion_matrix,
    precision_score,
    recall_score,
)


def criteria(case):
    """case: probabilities [N][K], labels [N][K], thresholds [K]."""
    probabilities = np.array(case["probabilities"])
    labels = np.array(case["labels"])
    predicted = (probabilities >= np.array(case["thresholds"])).astype(int)
    score = lambda f, average: f(labels, predicted, average=average, zero_division=0)
    per_criterion = [
        {
            "f1": float(f1),
            "precision": float(precision),
            "recall": float(recall),
            "pr_auc": float(average_precision_score(labels[:, k], probabilities[:, k])) if labels[:, k].any() else 0.0,
            "support": int(labels[:, k].sum()),
            "confusion_matrix": confusion.tolist(),
        }
        for k, (f1, precision, recall, confusion) in enumerate(
            zip(
                score(f1_score, None),
                score(precision_score, None),
                score(recall_score, None),
                multilabel_confusion_matrix(labels, predicted),
            )
        )
    ]
    return {
        "accuracy": 1 - hamming_loss(labels, predicted),
        "subset_accuracy": accuracy_score(labels, predicted),
        "macro_f1": score(f1_score, "macro"),
        "macro_precision": score(precision_score, "macro"),
        "macro_recall": score(recall_score, "macro"),
        "micro_f1": score(f1_score, "micro"),
        "micro_precision": score(precision_score, "micro"),
        "micro_recall": score(recall_score, "micro"),
        "macro_pr_auc": float(np.mean([metrics["pr_auc"] for metrics in per_criterion])),
        "per_criterion": per_criterion,
    }


def token_f1(pair):
    """f1_score of SQuAD's evaluate-v1.1.py, without its normalisation of the answers."""
    prediction_tokens, ground_truth_tokens = pair["predicted"].split(), pair["gold"].split()
    common = Counter(prediction_tokens) & Counter(ground_truth_tokens)
    num_same = sum(common.values())
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(prediction_tokens)
    recall = 1.0 * num_same / len(ground_truth_tokens)
    return (2 * precision * recall) / (precision + recall)


request = json.load(sys.stdin)
json.dump(
    {
        "criteria": [criteria(case) for case in request["criteria"]],
        "token_f1": [token_f1(pair) for pair in request["pairs"]],
    },
    sys.stdout,
)
