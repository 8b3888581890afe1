"""The proposer model: dataset encoder and prefix decoder.

Owns: `ProposerModel`, its forward pass and losses.  Does not own: sampling (`decoding`), prompts (`wire.prompt`).

One stack of layers reads prefix (data latents and prompt, attended in both directions) and target (causal), so that at
inference the prefix is computed once and shared by all samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.encoder import DatasetEncoder, FeedForward
from pysr_neural.model.pairs import PairHead, pair_loss
from pysr_neural.state import KINDS
from pysr_neural.wire.prompt import MAX_POSITION
from pysr_neural.wire.vocabulary import IS_MANTISSA, PAD

SEGMENTS = 4
LATENT_SEGMENT = 3
IGNORED = -100
MANTISSA_WEIGHT = 0.25
"""Weight of leading digits in the loss: engines refine constants, so that structure matters more."""
PAIR_WEIGHT = 0.2


@dataclass
class ProposerOutput(ModelOutput):  # type: ignore[misc]
    """Losses and logits of a forward pass.

    Attributes
    ----------
    loss : tensor, shape ()
        Token loss plus the heads' losses; present when labels were given.
    logits : tensor, shape (batch, target length, vocabulary)
    kind_logits : tensor, shape (batch, len(KINDS))
    presence_logits : tensor, shape (batch, vocabulary)
        Logit of each token's occurring in the answer.
    pair_logits : tensor, shape (batch, PARENTS, CHILDREN)
        See `model.pairs`; present if the model has that head.
    token_loss : tensor, shape ()
        Mean negative log-likelihood per target token.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    kind_logits: Tensor | None = None
    presence_logits: Tensor | None = None
    pair_logits: Tensor | None = None
    token_loss: Tensor | None = None


class SelfAttention(nn.Module):
    """Normalised multi-head self-attention with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """Project (batch, length, width) to queries, keys and values (3, batch, heads, length, head width)."""
        batch, length, _ = x.shape
        return self.project(self.norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)

    def merge(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Add attention's result (batch, heads, length, head width) to the stream."""
        return x + self.out(mixed.transpose(1, 2).reshape(x.shape))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, length, width) with a mask (batch, 1, length, length) to the same shape."""
        query, key, value = self.split(x)
        return self.merge(x, nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask))


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, config: ProposerConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads)
        self.feedforward = FeedForward(config.width, config.feedforward)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, length, width) to the same shape."""
        return self.feedforward(self.attention(x, mask))  # type: ignore[no-any-return]


class ProposerModel(PreTrainedModel):
    """A small transformer that proposes expressions, given data and a population.

    Parameters
    ----------
    config : ProposerConfig
    """

    config_class = ProposerConfig
    base_model_prefix = "proposer"
    pair_head: PairHead | None

    def __init__(self, config: ProposerConfig) -> None:
        super().__init__(config)
        self.encoder = DatasetEncoder(config)
        self.token = nn.Embedding(config.vocabulary_size, config.width)
        self.position = nn.Embedding(MAX_POSITION, config.width)
        self.segment = nn.Embedding(SEGMENTS, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary_size)
        self.kind_head = nn.Linear(config.width, len(KINDS))
        self.presence_head = nn.Linear(config.width, config.vocabulary_size)
        self.pair_head = PairHead(config.width, config.pair_rank) if config.pair_rank else None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.1)

    def embed(self, tokens: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Embed tokens (…) with position and segment into (…, width)."""
        return self.token(tokens) + self.position(positions) + self.segment(segments)  # type: ignore[no-any-return]

    def prefix(self, latents: Tensor, tokens: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Join data latents and prompt into one sequence (batch, latents + prompt, width)."""
        marked = latents + self.segment.weight[LATENT_SEGMENT]
        return torch.cat([marked, self.embed(tokens, positions, segments)], dim=1)

    def forward(
        self,
        data: Tensor,
        row_mask: Tensor,
        tokens: Tensor,
        positions: Tensor,
        segments: Tensor,
        target_tokens: Tensor,
        target_positions: Tensor,
        target_segments: Tensor,
        labels: Tensor | None = None,
        kinds: Tensor | None = None,
        presence: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> ProposerOutput:
        """Run the model on a padded batch.

        Parameters
        ----------
        data : float32, shape (batch, rows, DATA_COLUMNS)
        row_mask : bool, shape (batch, rows)
        tokens, positions, segments : int64, shape (batch, prompt)
        target_tokens, target_positions, target_segments : int64, shape (batch, target)
            Input tokens, the first being ``<target>``.
        labels : int64, shape (batch, target), optional
            Next tokens; -100 is not counted.
        kinds : int64, shape (batch,), optional
            Kind of the move; -100 is not counted.
        presence : float, shape (batch, vocabulary), optional
            1 where a token occurs in the answer.
        pairs : float, shape (batch, PARENTS, CHILDREN), optional
            How often each pair occurs in the answer, for a model with that head; see `model.pairs`.
        """
        latents = self.encoder(data, row_mask)
        prefix = self.prefix(latents, tokens, positions, segments)
        target = self.embed(target_tokens, target_positions, target_segments)
        x = torch.cat([prefix, target], dim=1)
        mask = self._mask(latents.shape[1], tokens != PAD, target_tokens.shape[1])
        for layer in self.layers:
            x = layer(x, mask)
        hidden = self.norm(x[:, prefix.shape[1] :])
        output = ProposerOutput(None, self.head(hidden), self.kind_head(hidden[:, 0]), self.presence_head(hidden[:, 0]))
        if labels is not None:
            self._add_losses(output, labels, kinds, presence)
        if self.pair_head is not None:
            output.pair_logits = self.pair_head(hidden[:, 0])
            if output.loss is not None and pairs is not None:
                output.loss = output.loss + PAIR_WEIGHT * pair_loss(output.pair_logits, pairs)
        return output

    @staticmethod
    def _mask(latents: int, prompt: Tensor, target: int) -> Tensor:
        batch, device = len(prompt), prompt.device
        visible = torch.cat([torch.ones(batch, latents, dtype=torch.bool, device=device), prompt], dim=1)
        length = visible.shape[1]
        mask = torch.zeros(batch, 1, length + target, length + target, dtype=torch.bool, device=device)
        mask[:, :, :, :length] = visible[:, None, None, :]
        mask[:, :, length:, length:] = torch.ones(target, target, dtype=torch.bool, device=device).tril()
        return mask

    @staticmethod
    def _add_losses(output: ProposerOutput, labels: Tensor, kinds: Tensor | None, presence: Tensor | None) -> None:
        counted = (labels != IGNORED).float()
        digits = torch.from_numpy(IS_MANTISSA).to(labels.device)[labels.clamp(min=0)]
        share = torch.where(digits, MANTISSA_WEIGHT * counted, counted)
        logits = output.logits.float()
        per_token = nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        output.token_loss = (per_token * share).sum() / share.sum().clamp(min=1)
        output.loss = output.token_loss
        if kinds is not None and bool((kinds != IGNORED).any()):
            output.loss = output.loss + 0.2 * nn.functional.cross_entropy(output.kind_logits.float(), kinds)
        if presence is not None:
            output.loss = output.loss + nn.functional.binary_cross_entropy_with_logits(
                output.presence_logits.float(), presence
            )
