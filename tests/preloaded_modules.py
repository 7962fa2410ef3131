"""What the process that tests.preloaded forks has imported: all that a board needs, and no plugin."""

import numpy as np

import popeq.api
import popeq.cli
import popeq.site  # noqa: F401
from popeq.metrics import DensitySettings, Target
from popeq.space import Space
from tests.pseudo_panels import use_few

Target(np.array([[1.0, 2.0], [0.0, -1.0]]), Space(), DensitySettings(8, 0.5)).score(np.zeros((3, 2)))
use_few()
