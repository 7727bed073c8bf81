"""SQuAD v2's evaluation: the functions of its official script (evaluate-v2.0.py, Rajpurkar et al., 2018), to the letter."""

import collections
import re
import string


def normalize_answer(s):
    """Lower text and remove punctuation, articles and extra whitespace."""

    def remove_articles(text):
        regex = re.compile(r"\b(a|an|the)\b", re.UNICODE)
        return re.sub(regex, " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    def lower(text):
        return text.lower()

    return white_space_fix(remove_articles(remove_punc(lower(s))))


def get_tokens(s):
    if not s:
        return []
    return normalize_answer(s).split()


def compute_exact(a_gold, a_pred):
    return int(normalize_answer(a_gold) == normalize_answer(a_pred))


def compute_f1(a_gold, a_pred):
    gold_toks = get_tokens(a_gold)
    pred_toks = get_tokens(a_pred)
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        # If either is no-answer, then F1 is 1 if they agree, 0 otherwise
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(pred_toks)
    recall = 1.0 * num_same / len(gold_toks)
    f1 = (2 * precision * recall) / (precision + recall)
    return f1


def scores(pair):
    """get_raw_scores of one question. pair: gold, a list of answers, and predicted, a text ("" for none)."""
    gold_answers = [a for a in pair["gold"] if normalize_answer(a)]
    if not gold_answers:
        # For unanswerable questions, only correct answer is empty string
        gold_answers = [""]
    a_pred = pair["predicted"]
    return {
        "exact": max(compute_exact(a, a_pred) for a in gold_answers),
        "f1": max(compute_f1(a, a_pred) for a in gold_answers),
    }


def make_eval_dict(found):
    if not found:
        return None, None
    return sum(one["exact"] for one in found) / len(found), sum(one["f1"] for one in found) / len(found)


def evaluate(pairs):
    """The summary of the script, as shares and not percent. A question has an answer where its list is not empty."""
    found = [(bool(pair["gold"]), scores(pair)) for pair in pairs]
    exact, f1 = make_eval_dict([one for _, one in found])
    has_exact, has_f1 = make_eval_dict([one for has_answer, one in found if has_answer])
    no_exact, _ = make_eval_dict([one for has_answer, one in found if not has_answer])
    return {
        "exact": exact,
        "f1": f1,
        "has_answer_exact": has_exact,
        "has_answer_f1": has_f1,
        "no_answer_accuracy": no_exact,
    }
