"""Divide the listeners of a data set into two panels, so that the answers to each prompt are split evenly."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

from popeq.dataset import Dataset
from popeq.dataset_card import RESPONSE_COLUMNS

PANELS = ("a", "b")


def divide(dataset: Dataset, again: int = 0) -> dict[str, str]:
    """The panel of each listener, so that the answers to each prompt are split as evenly as one pass can.

    The listeners with the most answers come first; ties are in the order of a hash of their answers, so that
    the result does not depend on the listeners' ids. Each joins the panel with fewer answers to his or her
    prompts, or else the one with fewer listeners.
    """
    asked: dict[str, list[str]] = defaultdict(list)
    answers: dict[str, list[str]] = defaultdict(list)
    for prompt_id, listener, x, y in dataset.responses[list(RESPONSE_COLUMNS)].itertuples(index=False):
        asked[listener].append(prompt_id)
        answers[listener].append(f"{prompt_id} {float(x).hex()} {float(y).hex()}")
    order = {
        who: hashlib.sha256("\n".join([str(again), *sorted(own)]).encode()).hexdigest()
        for who, own in answers.items()
    }
    lead: Counter[str] = Counter()  # answers of the first panel less those of the second, by prompt
    sizes = dict.fromkeys(PANELS, 0)
    panel_of = {}
    for listener in sorted(asked, key=lambda who: (-len(asked[who]), order[who], who)):
        ahead = sum(lead[p] for p in asked[listener])
        second = ahead > 0 or (ahead == 0 and sizes[PANELS[0]] > sizes[PANELS[1]])
        panel_of[listener] = PANELS[second]
        sizes[PANELS[second]] += 1
        lead.update(dict.fromkeys(asked[listener], -1 if second else 1))
    return panel_of
