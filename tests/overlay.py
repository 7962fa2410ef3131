"""A Python environment on top of the present one, to install packages into that no other test sees."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Overlay:
    """Its folder, and variables that make it the active environment, offline."""

    folder: Path
    env: dict[str, str]

    def run(self, command: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """A command line of bash, as a person types it with the environment active."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=cwd,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def make_overlay(folder: Path) -> Overlay:
    """Everything that is installed here is there too; what is installed there stays there."""
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "parent.pth").write_text("\n".join(lines) + "\n")
    programs = {"pip": "from pip._internal.cli.main import main", "pytest": "from pytest import main"}
    programs["popeq"] = "from popeq.cli import main"
    for name, line in programs.items():
        program = folder / "bin" / name
        program.write_text(f"#!{folder}/bin/python\nimport sys\n{line}\nsys.exit(main())\n")
        program.chmod(0o755)
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff:
        (folder / "bin" / "ruff").symlink_to(ruff)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    env |= {
        "PATH": os.pathsep.join([str(folder / "bin"), env["PATH"]]),
        "VIRTUAL_ENV": str(folder),
        "COLUMNS": "200",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the wrong way round: this is --no-build-isolation
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return Overlay(folder, env)
