"""Benchmarks of speed, one a file: ratios measured side by side in one run."""
