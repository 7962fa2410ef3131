"""A plugin, and a predictor's module, that cannot be imported."""

raise RuntimeError("not today")
