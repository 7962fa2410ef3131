"""``icl-dsp``: a language model is asked as LLM2Fx asks it, with the equaliser's definition and the track.

S. Doh et al., "Can Large Language Models Predict Audio Effects Parameters from Natural Language?", 2025
(arXiv 2505.20770): the code of the effect, descriptors of the input and five examples in the prompt.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.space import PLANE, Space
from popeq.typing import Floats
from popeq_dsp.definition import definition
from popeq_dsp.track import track_in_words
from popeq_llm.icl import Asking, Static
from popeq_llm.templates import Template, load_template, parse_template

_TEMPLATE = "dsp.txt"


class Dsp(Static):
    """``icl-static`` with the definition of the equaliser in place of a wording's meaning, and with the
    descriptors of the track that a prompt is about, if it has any, in a line below its sentence."""

    name = "icl-dsp"

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """``n`` independent answers to each prompt, dB."""
        return super().sample([with_track(prompt) for prompt in prompts], n, rngs)

    def describe(self) -> dict[str, Any]:
        """Also the encoder, if examples are shown."""
        return super().describe() if self.parameters.examples else Asking.describe(self)

    def _prepare(self, train: Sequence[LabelledPrompt]) -> None:
        p = self.parameters
        self.template = dsp_template(p.template, p.wording, self.space)
        self._shown = []
        if p.examples:
            super()._prepare(train)


def with_track(prompt: Prompt) -> Prompt:
    """The prompt with its track's descriptors in words below its sentence; as it is without any."""
    words = track_in_words(prompt.audio.features) if prompt.audio else ""
    return replace(prompt, text=f"{prompt.text}\n{words}") if words else prompt


def dsp_template(file: str | None = None, wording: str = "engineer", space: Space = PLANE) -> Template:
    """The bundled template or a person's own ``file``, whose ``meaning`` is the definition of the equaliser.

    It is of the kind ``few``. Raises UsageError as ``load_template`` does.
    """
    if file:
        template = load_template("few", file, wording, space)
    else:
        bundled = importlib.resources.files("popeq_dsp").joinpath("templates", _TEMPLATE)
        template = parse_template(bundled.read_text(encoding="utf-8"), "few", _TEMPLATE, wording, space)
    described = replace(template.wording, meaning=definition(space))
    whole = json.dumps([template.sha256, described.meaning], ensure_ascii=False)
    return replace(template, wording=described, sha256=hashlib.sha256(whole.encode()).hexdigest())
