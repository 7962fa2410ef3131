"""The simulated panels that popeq brings: source tables, listener model, generator, and what it wrote."""
