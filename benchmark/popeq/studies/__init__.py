"""Open questions of the paper as studies of runs: ceiling, power, transfer and ablation."""
