"""Judging what a method found: scores, symbolic recovery, statistics, results on disk."""
