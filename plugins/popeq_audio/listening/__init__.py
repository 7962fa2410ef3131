"""Listening tests: make one from prompts, tracks and runs, and read what listeners answered."""
