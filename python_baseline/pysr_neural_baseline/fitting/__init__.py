"""From a file of measurements to a law: what `pysr-neural fit` and the demo consist of.

Owns: reading and judging a file, driving either engine, the one formula with its uncertainty, pictures and page.
Does not own: the engines themselves (`pysr_neural.interop`, `pysr_neural_baseline.estimator`), which formula of a front
is handed over (`pysr_neural.expression.choice`).
"""
