"""The leaderboard as a static site: pages that work from a file, without a network and without scripts."""
