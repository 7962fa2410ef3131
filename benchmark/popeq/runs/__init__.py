"""Runs: planned, drawn in child processes, kept in folders, resumed."""
