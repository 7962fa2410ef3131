"""What importing a plugin costs: looked at in a process of its own, where nothing is imported yet."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

from popeq.contract import PredictorSpec
from popeq.plugins import GROUP, build_registry

HEAVY = ("torch", "tensorflow", "jax", "transformers", "peft", "sentence_transformers")
LONGEST_S = 2.0
_LOOK = """
import json, sys, time
connected = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        connected.append(f"{event}{arguments[1:2] if event == 'socket.connect' else arguments[:1]}")
sys.addaudithook(hook)
import numpy, pydantic, popeq.contract, popeq.hookspecs  # what popeq itself brings
started = time.process_time()
__import__(sys.argv[1])
print(json.dumps([time.process_time() - started, connected, [m for m in sys.argv[2:] if m in sys.modules]]))
"""


def heavy_or_online(spec: PredictorSpec, timeout_s: float = 120.0) -> list[str]:
    """What is wrong with importing the module that declares a predictor, each a sentence; usually nothing.

    Looked at: the modules in ``HEAVY``, connections, more than ``LONGEST_S`` of processor time.
    """
    module = declaring_module(spec)
    command = [sys.executable, "-c", _LOOK, module, *HEAVY]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return [f"importing {module} took longer than {timeout_s:g} s"]
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or [f"status {result.returncode}"]
        return [f"importing {module} failed: {last[0]}"]
    took_s, connected, heavy = json.loads(result.stdout.splitlines()[-1])
    wrong = [f"importing {module} loads {name}; import it inside the factory's module" for name in heavy]
    wrong += [f"importing {module} opens a connection: {what}" for what in connected]
    if took_s > LONGEST_S:
        wrong.append(f"importing {module} takes {took_s:.1f} s")
    return wrong


def declaring_module(spec: PredictorSpec) -> str:
    """The module of the entry point that brings the predictor; its parameters' module if none does."""
    for entry_point in importlib.metadata.entry_points(group=GROUP):
        found = build_registry([entry_point]).predictors.get(spec.name)
        if found is not None and found.factory == spec.factory:
            return entry_point.value.partition(":")[0]
    return spec.parameters.__module__
