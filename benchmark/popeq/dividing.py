"""Divide the listeners of a data set into two panels, so that the answers to each prompt are split evenly."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from popeq.dataset import Dataset
from popeq.dataset_card import RESPONSE_COLUMNS
from popeq.seeding import generator

PANELS = ("a", "b")


def divide(dataset: Dataset, again: int = 0) -> dict[str, str]:
    """The panel of each listener, so that the answers to each prompt are split as evenly as one pass can.

    The listeners with the most answers come first; ties are in the order of a hash of their answers, so that
    the result does not depend on the listeners' ids. Each joins the panel with fewer answers to his or her
    prompts, or else the one with fewer listeners.
    """
    asked, order = _asked_and_order(dataset, again)
    return _in_turn(asked, sorted(asked, key=lambda who: (-len(asked[who]), order[who], who)))


def divide_again(dataset: Dataset, division: int) -> dict[str, str]:
    """The panel of each listener in one of many divisions, whose differences show the chance of a division.

    As ``divide``, but the hash alone orders the listeners, whatever number of prompts each answered, and
    which of the two is the first panel is drawn, so that anybody may be in either.
    """
    asked, order = _asked_and_order(dataset, division)
    panel_of = _in_turn(asked, sorted(asked, key=lambda who: (order[who], who)))
    if generator("first panel", division).random() < 0.5:
        return panel_of
    return {who: PANELS[panel == PANELS[0]] for who, panel in panel_of.items()}


def _asked_and_order(dataset: Dataset, again: int) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The prompts that each listener answered, and a hash of his or her answers and of a number."""
    asked: dict[str, list[str]] = defaultdict(list)
    answers: dict[str, list[str]] = defaultdict(list)
    for prompt_id, listener, x, y in dataset.responses[list(RESPONSE_COLUMNS)].itertuples(index=False):
        asked[listener].append(prompt_id)
        answers[listener].append(f"{prompt_id} {float(x).hex()} {float(y).hex()}")
    order = {
        who: hashlib.sha256("\n".join([str(again), *sorted(own)]).encode()).hexdigest()
        for who, own in answers.items()
    }
    return asked, order


def _in_turn(asked: Mapping[str, Sequence[str]], listeners: Iterable[str]) -> dict[str, str]:
    """The panels of listeners who choose one after the other."""
    lead: Counter[str] = Counter()  # answers of the first panel less those of the second, by prompt
    sizes = dict.fromkeys(PANELS, 0)
    panel_of = {}
    for listener in listeners:
        ahead = sum(lead[p] for p in asked[listener])
        second = ahead > 0 or (ahead == 0 and sizes[PANELS[0]] > sizes[PANELS[1]])
        panel_of[listener] = PANELS[second]
        sizes[PANELS[second]] += 1
        lead.update(dict.fromkeys(asked[listener], -1 if second else 1))
    return panel_of
