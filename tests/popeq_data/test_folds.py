"""simulated-120 by folds: the same sentences and answers, each prompt tested once."""

from __future__ import annotations

import popeq
from popeq_data.simulated_120.folds import main


def test_every_prompt_is_tested_once_and_never_trained_on_then(tmp_path, capsys):
    assert main([str(tmp_path / "folds")]) == 0
    data, bundled = popeq.load_dataset(tmp_path / "folds"), popeq.load_dataset("simulated-120")
    assert data.card.label == "simulated-120-folds (simulated)"
    assert sorted(data.test_ids) == sorted(bundled.prompts["prompt_id"])
    assert len(data.stages) == 5
    for stage in data.stages:
        assert not set(stage.test) & (set(stage.train) | set(stage.validation))
    for prompt_id in bundled.test_ids:
        assert (data.points(prompt_id) == bundled.points(prompt_id)).all()
    assert main([str(tmp_path / "folds")]) == 2
    assert str(tmp_path / "folds") in capsys.readouterr().err
    assert main([]) == 2
