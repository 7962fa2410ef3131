"""The test as a webMUSHRA configuration (Schoeffler et al. 2018, https://github.com/audiolabs/webMUSHRA)."""

from __future__ import annotations

import html
import json
from typing import Any

from popeq_audio.listening.plan import REFERENCE, STEPS, Plan, Trial

RESOURCES = "configs/resources"


def configuration(plan: Plan) -> str:
    """The YAML file: a welcome, the trials in random order, and a page that sends the results."""
    page = _mushra if plan.kind == "mushra" else _preference
    how = (
        "You will read a sentence and hear one piece of music with several equaliser settings. Rate how well "
        "each fits the sentence. The reference marks 100 on the scale; one of the sounds that you rate is "
        "the same as the reference: give it 100 too."
        if plan.kind == "mushra"
        else "You will read a sentence and hear several versions of a piece of music. Say how well each fits."
    )
    content = {
        "testname": "Which equaliser setting fits the sentence?",
        "testId": plan.plan_id,
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
                "stimulus": _file(plan, plan.trials[0], REFERENCE),
                "defaultVolume": 0.5,
            },
            ["random", *(page(plan, trial) for trial in plan.trials)],
            {
                "type": "finish",
                "name": "Thank you",
                "content": "Please give the name that you were given for this test.",
                "showResults": False,
                "writeResults": True,
                "questionnaire": [{"type": "text", "label": "Name", "name": "listener"}],
            },
        ],
    }
    return _yaml(content) + "\n"


def _file(plan: Plan, trial: Trial, name: str) -> str:
    return f"{RESOURCES}/{plan.plan_id}/{trial.trial_id}/{name}.wav"


def _page(plan: Plan, trial: Trial, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "id": trial.trial_id,
        "name": "Which setting fits?",
        "content": f"&ldquo;{html.escape(trial.text)}&rdquo;",
        "stimuli": {c.name: _file(plan, trial, c.name) for c in trial.conditions},
    }


def _mushra(plan: Plan, trial: Trial) -> dict[str, Any]:
    return _page(plan, trial, "mushra") | {
        "showWaveform": False,
        "enableLooping": True,
        "strict": False,
        "reference": _file(plan, trial, REFERENCE),
        "createAnchor35": False,
        "createAnchor70": False,
        "randomize": True,
        "showConditionNames": False,
    }


def _preference(plan: Plan, trial: Trial) -> dict[str, Any]:
    """Every sound on one page, in an order of chance, without a reference.

    Not webMUSHRA's ``paired_comparison``: that plays a reference and asks which of two sounds is the same.
    """
    ends = {1: " (not at all)", STEPS: " (perfectly)"}
    return _page(plan, trial, "likert_multi_stimulus") | {
        "mustRate": True,
        "mustPlayback": "processUpdate",
        "response": [{"value": n, "label": f"{n}{ends.get(n, '')}"} for n in range(1, STEPS + 1)],
    }


def _yaml(value: Any, indent: str = "") -> str:
    """Block YAML whose texts are quoted as in JSON, which is YAML too: no text can be mistaken."""
    if isinstance(value, dict):
        return "\n".join(f"{indent}{key}:{_nested(item, indent)}" for key, item in value.items())
    return "\n".join(f"{indent}-{_nested(item, indent)}" for item in value)


def _nested(value: Any, indent: str) -> str:
    if isinstance(value, dict | list):
        return "\n" + _yaml(value, indent + "  ")
    return " " + json.dumps(value, ensure_ascii=False)
