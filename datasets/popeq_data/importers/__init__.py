"""Importers of listening data that popeq may not ship: files in, a data set and a report out."""
