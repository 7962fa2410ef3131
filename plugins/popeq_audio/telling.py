"""What ``popeq ask`` prints of an answer."""

from __future__ import annotations

import json

from popeq_audio.asking import Answer


def told(answer: Answer, as_json: bool) -> str:
    """A plot with its summary, or one line of JSON: samples, camps, recommendation, bands."""
    if not as_json:
        from popeq_audio.pictures import terminal_plot

        return terminal_plot(answer)
    from popeq_audio.bands import fit_bands
    from popeq_audio.demo.messages import bands_json

    bands = {"bands": bands_json(fit_bands(answer.recommended))}
    return json.dumps(answer.to_json() | bands, ensure_ascii=False)
