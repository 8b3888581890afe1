"""The public name of the transformer as a proposer; the code is in `neural.transformer`."""

from pysr_neural.proposer.neural.transformer import TransformerProposer

__all__ = ["TransformerProposer"]
