"""The model's configuration: sizes, and the vocabulary that it was made for.

Owns: `ProposerConfig`.  Does not own: training settings.
"""

from typing import Any

from transformers import PretrainedConfig

from pysr_neural.model.checkpoint import MODEL_TYPE
from pysr_neural.wire.codes import WIRE_VERSION
from pysr_neural.wire.context import context_named
from pysr_neural.wire.vocabulary import NAMES, VOCABULARY_HASH


class ProposerConfig(PretrainedConfig):
    """Sizes of a `ProposerModel`.

    Parameters
    ----------
    width : int
        Width of all token and latent vectors.
    heads : int
        Attention heads; must divide the width.
    layers : int
        Decoder layers.
    feedforward : int
        Width of the hidden layer of each feed-forward block.
    latents : int
        Vectors that the dataset encoder hands to the decoder.
    encoder_layers : int
        Rounds of cross attention from latents to points.
    probes : bool
        Whether the encoder also reads the statistics of `model.probes`.
    context : str
        What its prompts say about the data, one of `wire.context.CONTEXTS`.
    pair_rank : int
        Rank of the head of `model.pairs`, for which building block stands below which; 0: no such head.
    vocabulary_hash, vocabulary_size, wire_version
        Of the release that trained it; `model.checkpoint` refuses another vocabulary than this one's.
    **others
        Of transformers' `PretrainedConfig`.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        width: int = 128,
        heads: int = 4,
        layers: int = 4,
        feedforward: int = 384,
        latents: int = 16,
        encoder_layers: int = 2,
        probes: bool = False,
        context: str = "basic",
        pair_rank: int = 0,
        vocabulary_hash: str = VOCABULARY_HASH,
        vocabulary_size: int = len(NAMES),
        wire_version: int = WIRE_VERSION,
        **others: Any,
    ) -> None:
        self.width = width
        self.heads = heads
        self.layers = layers
        self.feedforward = feedforward
        self.latents = latents
        self.encoder_layers = encoder_layers
        self.probes = probes
        self.context = context_named(context)
        self.pair_rank = pair_rank
        self.vocabulary_hash = vocabulary_hash
        self.vocabulary_size = vocabulary_size
        self.wire_version = wire_version
        super().__init__(**others)
