"""Where popeq and its plugins keep what they would otherwise compute or pay for again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$POPEQ_CACHE``, else ``popeq`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("POPEQ_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "popeq"
