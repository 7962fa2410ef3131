"""What is meant where a person says nothing; nothing is imported here, so the command line starts fast."""

from __future__ import annotations

DEFAULT_DATASET = "simulated-1200"
DEFAULT_RUNS = "runs"
