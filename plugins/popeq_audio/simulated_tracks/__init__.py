"""The data set ``simulated-tracks``: sentences about synthetic tracks, with simulated listeners."""
