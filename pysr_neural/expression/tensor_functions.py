"""The operator table's functions for torch's tensors.

Owns: what each operator means for a tensor on any device.  Does not own: the table itself (`operators`), programs
(`stack`).  A test proves that no row is missing.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@cache
def torch_functions() -> Mapping[str, Callable[..., "torch.Tensor"]]:
    """Return the operators' functions of tensors: IEEE arithmetic, NaN outside the domain, as in the operator table."""
    import torch

    def where(domain: "torch.Tensor", values: "torch.Tensor") -> "torch.Tensor":
        return torch.where(domain, values, torch.nan)

    def power(base: "torch.Tensor", exponent: "torch.Tensor") -> "torch.Tensor":
        integer = exponent == torch.round(exponent)
        undefined = ((exponent < 0) & (base == 0)) | (~integer & (base < 0))
        return where(~undefined, torch.pow(torch.where(undefined, 1.0, base), exponent))

    return {
        "neg": torch.neg,
        "abs": torch.abs,
        "inv": torch.reciprocal,
        "square": torch.square,
        "cube": lambda a: a * a * a,
        "sqrt": torch.sqrt,
        "exp": torch.exp,
        "log": lambda a: torch.log(where(a > 0, a)),
        "log2": lambda a: torch.log2(where(a > 0, a)),
        "log10": lambda a: torch.log10(where(a > 0, a)),
        "log1p": lambda a: torch.log1p(where(a > -1, a)),
        "sin": torch.sin,
        "cos": torch.cos,
        "tan": torch.tan,
        "sinh": torch.sinh,
        "cosh": torch.cosh,
        "tanh": torch.tanh,
        "asin": torch.asin,
        "acos": torch.acos,
        "atan": torch.atan,
        "sign": lambda a: torch.where(torch.isnan(a), a, torch.sign(a)),
        "relu": lambda a: torch.clamp(a, min=0.0),
        "+": torch.add,
        "-": torch.sub,
        "*": torch.mul,
        "/": torch.div,
        "^": power,
        "max": torch.maximum,
        "min": torch.minimum,
    }
