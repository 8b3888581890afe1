"""Find laws in small real measurements, print and draw them."""

from pysr_neural_benchmarks.demo.command import main

__all__ = ["main"]
