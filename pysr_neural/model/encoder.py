"""The dataset encoder: a set of (x, y, residual) rows becomes a few latent vectors.

Owns: how numbers enter the model, and the set encoder.  Does not own: which rows and columns (`wire.prompt`).

Each value enters as the 32 bits of its single-precision form (sign, exponent, mantissa), and beside them smooth copies:
standardised over the rows, and its signed logarithm.  Rows are a set: no order.  Latents attend to rows in the manner
of the set transformer's pooling (Lee et al. 2019) and Perceiver (Jaegle et al. 2021).
"""

import torch
from torch import Tensor, nn

from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.probes import PROBES, probe_features
from pysr_neural.wire.prompt import DATA_COLUMNS

BITS = 32
SMOOTH = 3


def number_features(data: Tensor, row_mask: Tensor) -> Tensor:
    """Turn raw numbers into model input.

    Parameters
    ----------
    data : float32 tensor, shape (batch, rows, columns)
        NaN in absent columns.
    row_mask : bool tensor, shape (batch, rows)
        True for real rows; padding takes no part in any statistic.

    Returns
    -------
    tensor, shape (batch, rows, columns * (BITS + SMOOTH))
        Zero for absent columns.
    """
    present = ~torch.isnan(data) & row_mask.unsqueeze(-1)
    values = torch.where(present, data, torch.zeros_like(data))
    shifts = torch.arange(BITS, device=data.device, dtype=torch.int32)
    bits = ((values.contiguous().view(torch.int32).unsqueeze(-1) >> shifts) & 1).to(torch.float32) * 2 - 1
    count = present.sum(dim=1, keepdim=True).clamp(min=1)
    scale = values.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    relative = values / scale
    mean = relative.sum(dim=1, keepdim=True) / count
    centred = torch.where(present, relative - mean, torch.zeros_like(values))
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt().clamp(min=1e-9)
    logarithm = torch.log10(values.abs().clamp(min=1e-12)) / 4
    smooth = torch.stack([centred / deviation, logarithm, values.sign() * (logarithm + 3) / 3], dim=-1).clamp(-6, 6)
    features = torch.cat([bits, smooth], dim=-1) * present.unsqueeze(-1)
    return features.flatten(start_dim=2)


class FeedForward(nn.Module):
    """Normalised two-layer block with a residual connection."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.rise = nn.Linear(width, hidden)
        self.fall = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, width) to (…, width)."""
        return x + self.fall(nn.functional.gelu(self.rise(self.norm(x)), approximate="tanh"))


class CrossAttention(nn.Module):
    """Latents read rows, with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.source_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """Map latents (batch, latents, width) and rows (batch, rows, width) with their mask to new latents."""
        batch, count, width = x.shape
        query = self.query(self.norm(x)).view(batch, count, self.heads, -1).transpose(1, 2)
        pair = self.key_value(self.source_norm(source)).view(batch, source.shape[1], 2, self.heads, -1)
        key, value = pair.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        return x + self.out(mixed.transpose(1, 2).reshape(batch, count, width))


class DatasetEncoder(nn.Module):
    """Set encoder of the data.

    Parameters
    ----------
    config : ProposerConfig
    """

    def __init__(self, config: ProposerConfig) -> None:
        super().__init__()
        width = config.width
        self.rows = nn.Linear(DATA_COLUMNS * (BITS + SMOOTH), width)
        self.row_block = FeedForward(width, 2 * width)
        self.probes = nn.Sequential(nn.Linear(PROBES, width), FeedForward(width, 2 * width)) if config.probes else None
        self.latents = nn.Parameter(torch.randn(config.latents, width) * 0.02)
        self.reads = nn.ModuleList(CrossAttention(width, config.heads) for _ in range(config.encoder_layers))
        self.mixes = nn.ModuleList(CrossAttention(width, config.heads) for _ in range(config.encoder_layers))
        self.blocks = nn.ModuleList(FeedForward(width, 2 * width) for _ in range(config.encoder_layers))

    def forward(self, data: Tensor, row_mask: Tensor) -> Tensor:
        """Encode data.

        Parameters
        ----------
        data : float32 tensor, shape (batch, rows, DATA_COLUMNS)
            NaN in absent columns.
        row_mask : bool tensor, shape (batch, rows)

        Returns
        -------
        tensor, shape (batch, latents, width)
            One more than the configured latents if there are probes.
        """
        rows = self.rows(number_features(data, row_mask))
        rows = self.row_block(rows)
        x = self.latents.expand(len(data), -1, -1)
        if self.probes is not None:
            x = torch.cat([x, self.probes(probe_features(data, row_mask))[:, None]], dim=1)
        everywhere = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for read, mix, block in zip(self.reads, self.mixes, self.blocks, strict=True):
            x = block(mix(y := read(x, rows, row_mask), y, everywhere))
        return x
