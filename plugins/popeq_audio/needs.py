"""Import what an extra brings, or say in one line how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from popeq.errors import UsageError


def need(module: str, extra: str) -> Any:
    """The module; UsageError that names the extra if it is missing."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # soundfile raises OSError where libsndfile is missing
        raise UsageError(f"{module} cannot be loaded ({error}); pip install 'popeq[{extra}]'") from None
