"""The policy that makes the algorithm's own decisions; see `walk` for their order."""
