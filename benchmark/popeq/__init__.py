"""popeq: how well a predictor turns a sentence into the distribution of EQ settings that listeners choose.

The main job: ``load_dataset``, ``run``, ``score``, ``leaderboard``, ``compare``, ``verify``, ``regress``, and
the studies ``ceiling``, ``power``, ``transfer``, ``adapt``, ``ablate``, ``sizes``, ``personal``. In a
notebook: ``list_predictors``, ``list_datasets``, ``load_predictor``. For plugin authors: ``hookimpl``,
``Prompt``, ``LabelledPrompt``, ``Predictor``, ``Parameters`` and the specs. Names are imported when first
used, so that ``import popeq`` costs nothing; ``__init__.pyi`` lists them.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
