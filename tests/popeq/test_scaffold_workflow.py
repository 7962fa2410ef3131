"""The workflow that ``popeq new`` writes: popeq comes from an address that the repository sets."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from popeq.scaffold import write_package


@pytest.mark.parametrize(("kind", "requirement"), [("numpy", "popeq"), ("llm", "popeq[llm]")])
def test_popeq_comes_from_the_address_that_is_set(tmp_path: Path, kind, requirement):
    write_package("first-try", kind, tmp_path)
    text = (tmp_path / "first-try" / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["env"] == {"POPEQ_URL": "${{ vars.POPEQ_URL }}"}
    guard, install = [
        step["run"] for step in workflow["jobs"]["test"]["steps"] if "POPEQ_URL" in step.get("run", "")
    ]

    def checked(url: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"POPEQ_URL": url}
        return subprocess.run(["bash", "-e", "-c", guard], env=env, capture_output=True, text=True)

    refused = checked("")
    assert refused.returncode == 1
    assert refused.stdout.startswith("::error::set the variable POPEQ_URL")
    assert checked("git+https://example.org/popeq").returncode == 0
    words = shlex.split(install.replace("$POPEQ_URL", "git+https://example.org/popeq"))
    assert words[:4] == ["python", "-m", "pip", "install"]
    assert words[4] == f"{requirement} @ git+https://example.org/popeq"
