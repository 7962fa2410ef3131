"""From where popeq was installed, so that a message can say how to install what is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import shlex
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from popeq.errors import UsageError


@cache
def pip_install(extra: str) -> str:
    """The command that adds an extra to popeq as it is installed here.

    A checkout that is installed editable stays editable; what came from an address is installed from that
    address, at the same commit; only what came from a package index is named alone.
    """
    try:
        text = importlib.metadata.distribution("popeq").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    return f"pip install {_what(f'popeq[{extra}]', extra, json.loads(text) if text else None)}"


def install_hint(extra: str | None) -> str:
    """How to get what an extra brings, to follow an ImportError's message; empty without an extra."""
    return f"; install it with: {pip_install(extra)}" if extra else ""


def _what(named: str, extra: str, origin: dict[str, Any] | None) -> str:
    """What pip is given; ``origin`` is the content of direct_url.json (PEP 610), if there is one."""
    if origin is None:
        return f"'{named}'"
    url: str = origin["url"]
    if origin.get("dir_info", {}).get("editable"):
        return f"-e {shlex.quote(f'{unquote(urlsplit(url).path)}[{extra}]')}"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    if "subdirectory" in origin:
        url += f"#subdirectory={origin['subdirectory']}"
    return shlex.quote(f"{named} @ {url}")


def need(module: str, extra: str) -> Any:
    """The module; UsageError in one line, with what to install, if it cannot be loaded."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # soundfile raises OSError where libsndfile is missing
        raise UsageError(f"{module} cannot be loaded ({error}){install_hint(extra)}") from None
