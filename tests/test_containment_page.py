"""The tables of docs/containment.md: each line names a test that is there."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "containment.md").read_text(encoding="utf-8")
TABLES = PAGE.split("## What is kept away, and what is not")[1].split("**Kept scores**")[0]


def test_each_line_names_a_test_that_exists():
    lines = [line for line in TABLES.splitlines() if line.startswith("|") and "---" not in line]
    lines = [line for line in lines if not line.endswith("| test |")]
    assert len(lines) > 10
    for line in lines:
        file, name = re.fullmatch(r"\| .+ \| `(tests/[\w/]+\.py)::(\w+)` \|", line).groups()
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, line
