"""simulated-1200, ten times the size of the paper's study: source tables, generator, and what it wrote."""
