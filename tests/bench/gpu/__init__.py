"""Measurements on a machine with a CUDA card, each a program of its own."""
