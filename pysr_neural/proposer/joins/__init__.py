"""Whole answers out of parts, by regression."""
