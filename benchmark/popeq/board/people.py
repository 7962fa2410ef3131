"""Whether the people who are tested are among those whose answers a predictor was fitted on."""

from __future__ import annotations

from collections.abc import Collection

from popeq.dataset import Dataset


def seen_answers(dataset: Dataset, prompt_ids: Collection[str]) -> tuple[int, int]:
    """How many test answers of these prompts there are, and how many of them are by a listener who also
    answered a training or validation prompt of the same stage; by listener ids."""
    people = dataset.responses.groupby("prompt_id")["listener_id"].apply(list).to_dict()
    wanted, groups = set(prompt_ids), dataset.group_of if dataset.group else {}
    tested = seen = 0
    for stage in dataset.stages:
        given = {who for p in (*stage.train, *stage.validation) for who in people.get(p, ())}
        answers = [who for p in stage.test if p in wanted for who in people.get(p, ())]
        answers = [who for who in answers if groups.get(who, "") == dataset.group]
        tested += len(answers)
        seen += sum(who in given for who in answers)
    return tested, seen


def people_note(dataset: Dataset, prompt_ids: Collection[str]) -> str:
    """One sentence for a board of these test prompts: all, some or none of the tested people were seen."""
    tested, seen = seen_answers(dataset, prompt_ids)
    if not tested:
        return "People: the test answers are not here, so it is not known whether their listeners were seen."
    if seen == tested:
        return (
            "People: all test answers are by listeners who are also among the training answers, so scores "
            "are for people that a predictor has seen; they can be worse for others."
        )
    if seen:
        percent = min(max(round(100.0 * seen / tested), 1), 99)  # some are neither none nor all
        return (
            f"People: {percent} % of the test answers are by listeners who are also among the "
            "training answers of their stage, so scores are in part for people that a predictor has seen."
        )
    if dataset.responses["listener_id"].is_unique:
        return (
            "People: no listener id is in both test and training answers, but each id has a single answer, "
            "so ids cannot show whether one person answered several times."
        )
    return (
        "People: no tested listener is among the training answers, so scores are for people that a predictor "
        "has not seen."
    )
