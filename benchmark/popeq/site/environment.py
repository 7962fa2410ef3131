"""The templates' surroundings: autoescape, strict names, text made visible, and the content policy."""

from __future__ import annotations

import base64
import hashlib
import math
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from popeq.plain_text import visible

#: Longest text, in characters, that a page shows; the JSON file has all of it.
LONGEST = 2000


def _shown(value: Any) -> Any:
    """Every text that a template prints, unless it is a picture made here, becomes visible text."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value, LONGEST)


def decibel(value: float | None, signed: bool = False) -> str:
    """Two decimals with a real minus sign; a dash if there is no number."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:+.2f}".replace("-", "−") if signed else f"{value:.2f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p- or q-value to two digits."""
    if value is None or math.isnan(value):
        return "–"
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _inline(name: str) -> Markup:
    """A file of this package, trusted because it is ours."""
    return Markup((resources.files("popeq.site") / "templates" / name).read_text(encoding="utf-8"))


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The one environment of all pages."""
    made = Environment(
        loader=PackageLoader("popeq.site", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _inline("style.css"), _inline("board.js")
    made.globals |= {
        "style": style,
        "script": script,
        "policy": Markup(
            "default-src 'none'; "
            f"style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
        ),
    }
    made.filters |= {"db": decibel, "p": p_value, "short": visible}
    return made


def render(template: str, **context: Any) -> str:
    """A page; those of a method or a prompt are in a folder below the others."""
    root = "../" if template in ("method.html", "prompt.html") else ""
    page = environment().get_template(template).render(context, here=template, root=root)
    return page.rstrip("\n") + "\n"
