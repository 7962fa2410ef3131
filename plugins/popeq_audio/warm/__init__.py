"""A process that keeps a fitted predictor ready for the next ``popeq ask``: only if asked to, for a while."""
