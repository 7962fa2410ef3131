"""popeq never runs code that comes with a model: Python files that its configuration names stay files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from popeq.errors import UsageError
from popeq.others_files import UnreadableFileError, read_json

#: For every ``from_pretrained``: without it transformers asks on the input whether to run the code.
NEVER_RUN: dict[str, Any] = {"trust_remote_code": False}
_MODULES = "modules.json"


def refuse_own_code(what: str, error: Exception) -> None:
    """Raise UsageError if a library did not load a model because its own code would have to be run.

    ``what`` names the model in the line, such as ``--model NAME``.
    """
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        raise _never(what) from None


def refuse_own_modules(what: str, folder: Path) -> None:
    """Raise UsageError if a sentence-transformers folder names modules that are not the library's: older
    versions of it import them, or run their files, without being allowed to."""
    if not (folder / _MODULES).is_file():
        return
    try:
        modules = read_json(folder / _MODULES, follow=True)
        types = [str(module["type"]) for module in modules]
    except (UnreadableFileError, KeyError, TypeError):
        raise UsageError(f"{what}: its {_MODULES} cannot be read; fetch the model again") from None
    if not all(name.startswith("sentence_transformers.") for name in types):
        raise _never(what)


def _never(what: str) -> UsageError:
    return UsageError(
        f"{what}: needs code of its own, and popeq never runs a model's own code; use a model of a kind that "
        "the library itself knows, or run this one in a server (--model openai:NAME)"
    )
