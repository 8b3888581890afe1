"""Statistics in which a formula's structure shows: how well simple forms of the variables explain simple forms of y.

Owns: `probe_features`.  Does not own: what the model makes of them (`encoder`).

A sum is linear in its variables, a power law is linear in logarithms, a reciprocal is linear in 1/y.  A small network
finds that hard to see in raw rows and easy to read off correlations and least squares, which cost next to nothing.
Everything is invariant to the order of rows, and to scale where the scale carries no structure.
"""

import torch
from torch import Tensor

from pysr_neural.wire.vocabulary import VARIABLE_SLOTS

FORMS = 9
"""Forms of a variable: x, x², x³, 1/x, log|x|, exp x, exp -x, sin x, cos x."""
TARGETS = 6
"""Forms of what is to be explained: y, log|y|, 1/y, y²; the residual r, log|r|."""
LOGARITHM = 4
"""Position of log|x| among the forms."""
RIDGE = 1e-6
SMALLEST = 1e-7
PROBES = TARGETS * (2 * FORMS * VARIABLE_SLOTS + 2 * VARIABLE_SLOTS + 3) + VARIABLE_SLOTS


def probe_features(data: Tensor, row_mask: Tensor) -> Tensor:
    """Measure how simple forms of the variables explain simple forms of y and of the residual.

    Parameters
    ----------
    data : float32 tensor, shape (batch, rows, VARIABLE_SLOTS + 2)
        Variables, y, residual; NaN in absent columns.
    row_mask : bool tensor, shape (batch, rows)

    Returns
    -------
    float32 tensor, shape (batch, PROBES)
        All between -1 and 1: for each target its correlation with each form of each variable and how near that is to
        ±1; its standardised slopes on the variables and on their logarithms; how well the variables, their logarithms,
        and the variables with their squares explain it jointly (1: wholly).  Last, the exponents of the best power law.
    """
    present = ~torch.isnan(data) & row_mask.unsqueeze(-1)
    values = torch.where(present, data, torch.zeros_like(data)).double()
    scale = values.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    variables, there = values[..., :VARIABLE_SLOTS], present[..., :VARIABLE_SLOTS]
    forms, form_norms = _variable_forms(variables, variables / scale[..., :VARIABLE_SLOTS], there)
    targets, target_norms = _target_forms(
        values[..., VARIABLE_SLOTS:] / scale[..., VARIABLE_SLOTS:], present[..., VARIABLE_SLOTS:]
    )
    batch = len(data)
    correlations = torch.einsum("brvf,brt->btvf", forms, targets).clamp(-1, 1)
    nearness = (1 - correlations.square() + SMALLEST).log10() / -7
    linear, linear_fit = _explain(forms[..., 0], targets)
    powers, powers_fit = _explain(forms[..., LOGARITHM], targets)
    _, squares_fit = _explain(forms[..., :2].flatten(2), targets)
    explained = torch.stack([linear_fit, powers_fit, squares_fit], dim=-1)
    exponents = powers[:, 1] * target_norms[:, :, 1] / form_norms[..., LOGARITHM].squeeze(1).clamp(min=1e-9)
    parts = (correlations, nearness, linear.clamp(-1, 1), powers.clamp(-1, 1), explained, (exponents / 4).clamp(-1, 1))
    return torch.cat([part.reshape(batch, -1) for part in parts], dim=1).float()


def _variable_forms(raw: Tensor, scaled: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return standardised forms, shape (batch, rows, slots, FORMS), and their norms before."""
    away = torch.where(scaled.abs() < 1e-6, torch.full_like(scaled, 1e-6), scaled)
    forms = torch.stack(
        [
            scaled,
            scaled.square(),
            scaled**3,
            1 / away,
            away.abs().log(),
            raw.clamp(-30, 30).exp(),
            (-raw).clamp(-30, 30).exp(),
            raw.sin(),
            raw.cos(),
        ],
        dim=-1,
    )
    return _standardised(forms, there.unsqueeze(-1).expand_as(forms))


def _target_forms(scaled: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return standardised forms, shape (batch, rows, TARGETS), and their norms before."""
    away = torch.where(scaled.abs() < 1e-6, torch.full_like(scaled, 1e-6), scaled)
    y, r = scaled[..., 0], scaled[..., 1]
    forms = torch.stack(
        [y, away[..., 0].abs().log(), 1 / away[..., 0], y.square(), r, away[..., 1].abs().log()], dim=-1
    )
    return _standardised(forms, there[..., [0, 0, 0, 0, 1, 1]])


def _standardised(values: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Centre over the rows and scale to norm 1, so that products are correlations; constant columns become zero.

    Returns the columns, and their norms with the rows' dimension kept.
    """
    count = there.sum(dim=1, keepdim=True).clamp(min=1)
    mean = torch.where(there, values, torch.zeros_like(values)).sum(dim=1, keepdim=True) / count
    centred = torch.where(there, values - mean, torch.zeros_like(values))
    norm = centred.square().sum(dim=1, keepdim=True).sqrt()
    floor = 1e-9 * (mean.abs() + 1) * count.sqrt()
    return torch.where(norm > floor, centred / norm.clamp(min=1e-300), torch.zeros_like(centred)), norm


def _explain(columns: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of the targets on standardised columns.

    Returns
    -------
    slopes : tensor, shape (batch, targets, columns)
    explained : tensor, shape (batch, targets)
        How little is left unexplained on a logarithmic scale: 0 if all is left, 1 if nothing.
    """
    moments = columns.transpose(1, 2) @ columns
    moments = moments + RIDGE * torch.eye(moments.shape[-1], dtype=moments.dtype, device=moments.device)
    products = columns.transpose(1, 2) @ targets
    slopes = torch.linalg.solve(moments, products)
    unexplained = (targets - columns @ slopes).square().sum(dim=1)
    some = targets.square().sum(dim=1) > 0
    explained = torch.where(some, (unexplained + SMALLEST).log10() / -7, torch.zeros_like(unexplained))
    return slopes.transpose(1, 2), explained
