"""Suites of problems: their files, reader, data and held-out keys."""
