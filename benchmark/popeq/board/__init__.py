"""Boards: runs scored again from their predictions, ranked, tested and compared."""
