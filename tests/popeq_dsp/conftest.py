"""Random models of the usual shapes, made once a session, and what the tests of popeq_llm share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "popeq_llm"))


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory):
    """``model_folders("llama")`` is the folder of a random Llama-shaped model."""
    from shapes import save_model

    made: dict[str, Path] = {}

    def folder(shape: str) -> Path:
        if shape not in made:
            made[shape] = save_model(shape, tmp_path_factory.mktemp("models") / shape)
        return made[shape]

    return folder
