"""Messages say how to install what is missing, from where this popeq came."""

from __future__ import annotations

import importlib.metadata
import json
import shlex

import pytest

from popeq.errors import UsageError
from popeq.installing import install_hint, need, pip_install

COMMIT = "32a017e0c0ffee"


class Installed:
    """A distribution whose direct_url.json (PEP 610) has this content, or which has none."""

    def __init__(self, origin: object) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "given"),
    [
        (None, ["popeq[llm]"]),
        (
            {"url": "file:///src/my%20popeq", "dir_info": {"editable": True}},
            ["-e", "/src/my popeq[llm]"],
        ),
        ({"url": "file:///src/popeq", "dir_info": {}}, ["popeq[llm] @ file:///src/popeq"]),
        (
            {"url": "file:///d/popeq-0.2.0-py3-none-any.whl", "archive_info": {}},
            ["popeq[llm] @ file:///d/popeq-0.2.0-py3-none-any.whl"],
        ),
        (
            {
                "url": "https://example.org/popeq.git",
                "vcs_info": {"vcs": "git", "commit_id": COMMIT},
                "subdirectory": "code",
            },
            [f"popeq[llm] @ git+https://example.org/popeq.git@{COMMIT}#subdirectory=code"],
        ),
    ],
)
def test_the_command_installs_from_where_this_popeq_came(monkeypatch, origin, given):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(origin))
    pip_install.cache_clear()
    try:
        assert shlex.split(pip_install("llm")) == ["pip", "install", *given]
    finally:
        pip_install.cache_clear()


def test_what_is_missing_is_one_line_that_says_what_brings_it():
    assert need("json", "llm") is json
    assert install_hint(None) == ""
    with pytest.raises(UsageError, match=r"^a_module_that_is_absent cannot be loaded \(No module") as caught:
        need("a_module_that_is_absent", "pictures")
    assert str(caught.value).endswith(install_hint("pictures"))
    assert "\n" not in str(caught.value)
