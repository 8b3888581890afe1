"""The problems on which policies learn and are judged: small ones that BasicSR's reference preset can solve.

Owns: `PRIOR`.  Does not own: drawing from it, what is held out (`pysr_neural_training.problems.generate`).
"""

from pysr_neural_training.problems.generate import ProblemPrior

PRIOR = ProblemPrior(
    operators=("+", "-", "*", "/"),
    min_operators=2,
    max_operators=5,
    max_size=15,
    constant_share=0.0,
    feature_weights=(0.35, 0.4, 0.25),
    noise_share=0.0,
    rows=(50,),
    row_weights=(1.0,),
    distractor_share=0.0,
)
"""The only constant is 1, as that of the preset."""
