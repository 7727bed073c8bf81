"""Best passage of whole words by brute force over all of them, with RapidFuzz's Levenshtein distance."""

import json
import sys

from rapidfuzz.distance import Levenshtein


def best(text, words, sentence):
    # Of equal distances the passage that ends first, and of those the shortest; none where it is no better than nothing.
    found = [len(sentence), 0, 0]
    for end in sorted({end for _, end in words}):
        for start in sorted({start for start, _ in words if start < end}, reverse=True):
            distance = Levenshtein.distance(sentence, text[start:end])
            if distance < found[0]:
                found = [distance, start, end]
    return found


json.dump([best(**case) for case in json.load(sys.stdin)], sys.stdout)
