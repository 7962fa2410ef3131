"""Where and with what a run was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from popeq.runs.record import EnvironmentRecord

_PACKAGES = ("popeq", "numpy", "scipy", "POT", "pandas", "pydantic", "torch", "transformers", "peft")


def environment(source: str) -> EnvironmentRecord:
    """Python, platform and the versions that numbers depend on; ``source`` is the plugin's distribution."""
    packages = {}
    for name in dict.fromkeys((*_PACKAGES, source.split(" ")[0])):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return EnvironmentRecord(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        packages=packages,
    )
