"""Search for a predictor's parameters on the validation split: ``popeq tune``."""
