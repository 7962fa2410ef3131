"""Random generators derived by hashing named parts, so that no draw depends on any other."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def generator(*parts: str | int) -> np.random.Generator:
    """A generator that depends on ``parts`` alone: SHA-256 of their JSON list seeds a PCG64."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big"))))
