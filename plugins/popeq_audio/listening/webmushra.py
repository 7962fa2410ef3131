"""The test as a webMUSHRA configuration (Schoeffler et al. 2018, https://github.com/audiolabs/webMUSHRA)."""

from __future__ import annotations

import html
import json
from itertools import combinations
from typing import Any

from popeq_audio.listening.plan import REFERENCE, Plan, Trial

RESOURCES = "configs/resources"


def configuration(plan: Plan, looping: bool = True) -> str:
    """The YAML file: a welcome, the trials in random order, and a page that sends the results."""
    pages: list[Any] = ["random"]
    for trial in plan.trials:
        pages += _mushra(plan, trial, looping) if plan.kind == "mushra" else _pairs(plan, trial, looping)
    first = plan.trials[0]
    how = (
        "You will read a sentence and hear one piece of music with several equaliser settings. Rate how well "
        "each fits the sentence. The reference is what most listeners chose; rate it too where it hides."
        if plan.kind == "mushra"
        else "You will read a sentence and hear two versions of a piece of music. Choose which fits better."
    )
    content = {
        "testname": "Which equaliser setting fits the sentence?",
        "testId": plan.test_id,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [
            {"type": "generic", "id": "welcome", "name": "Welcome", "content": how},
            {
                "type": "volume",
                "id": "volume",
                "name": "Volume",
                "content": "Set a comfortable volume, and leave it there.",
                "stimulus": _file(plan, first, REFERENCE),
                "defaultVolume": 0.5,
            },
            pages,
            {
                "type": "finish",
                "name": "Thank you",
                "content": "Please give the name that you were told to use.",
                "showResults": False,
                "writeResults": True,
                "questionnaire": [{"type": "text", "label": "Name", "name": "listener"}],
            },
        ],
    }
    return _yaml(content) + "\n"


def _file(plan: Plan, trial: Trial, name: str) -> str:
    return f"{RESOURCES}/{plan.test_id}/{trial.trial_id}/{name}.wav"


def _page(trial: Trial, kind: str, page_id: str, looping: bool) -> dict[str, Any]:
    return {
        "type": kind,
        "id": page_id,
        "name": "Which setting fits?",
        "content": f"&ldquo;{html.escape(trial.text)}&rdquo;",
        "showWaveform": False,
        "enableLooping": looping,
    }


def _mushra(plan: Plan, trial: Trial, looping: bool) -> list[dict[str, Any]]:
    page = _page(trial, "mushra", trial.trial_id, looping) | {
        "strict": False,
        "reference": _file(plan, trial, REFERENCE),
        "createAnchor35": False,
        "createAnchor70": False,
        "randomize": True,
        "showConditionNames": False,
        "stimuli": {c.name: _file(plan, trial, c.name) for c in trial.conditions},
    }
    return [page]


def _pairs(plan: Plan, trial: Trial, looping: bool) -> list[dict[str, Any]]:
    """Every pair of settings: webMUSHRA asks whether "the reference" or the other one is better, unnamed."""
    return [
        _page(trial, "paired_comparison", f"{trial.trial_id}-{a.name}-{b.name}", looping)
        | {"reference": _file(plan, trial, a.name), "stimuli": {b.name: _file(plan, trial, b.name)}}
        for a, b in combinations(trial.conditions, 2)
    ]


def _yaml(value: Any, indent: str = "") -> str:
    """Block YAML whose texts are quoted as in JSON, which is YAML too: no text can be mistaken."""
    if isinstance(value, dict):
        return "\n".join(f"{indent}{key}:{_nested(item, indent)}" for key, item in value.items())
    return "\n".join(f"{indent}-{_nested(item, indent)}" for item in value)


def _nested(value: Any, indent: str) -> str:
    if isinstance(value, dict | list):
        return "\n" + _yaml(value, indent + "  ")
    return " " + json.dumps(value, ensure_ascii=False)
