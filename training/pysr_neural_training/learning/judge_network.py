"""A small network that judges parts by their values.

Owns: `JudgeConfig`, `Judge`, its files.  Does not own: what is measured of values (`evidence`), what
becomes of the scores (`screens`).

The rows of a problem are encoded once, as a set: each as some numbers that say how y stands there.  A part is then seen
as the correlations of functions of its values with these numbers: one matrix product for all parts.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS, CONFIG = "judge.safetensors", "judge.json"


@dataclass(frozen=True)
class JudgeConfig:
    """Shape of a judge.

    Parameters
    ----------
    curves, variable_features, context, basis, scalars, text : int
        Widths of what is measured; see `evidence`.
    rows_width, row_hidden, variable_width, hidden : int
        Of the network.
    """

    curves: int
    variable_features: int
    context: int
    basis: int
    scalars: int
    text: int
    rows_width: int = 48
    row_hidden: int = 96
    variable_width: int = 32
    hidden: int = 128


class Judge(nn.Module):
    """Scores of parts; higher for those that belong to the answer more likely.

    Parameters
    ----------
    config : JudgeConfig
    """

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        wide = config.variable_width
        self.variable = nn.Sequential(
            nn.Linear(config.variable_features + config.curves, wide), nn.ReLU(), nn.Linear(wide, wide)
        )
        self.row = nn.Sequential(
            nn.Linear(config.curves + 2 * wide + config.context, config.row_hidden),
            nn.ReLU(),
            nn.Linear(config.row_hidden, config.rows_width),
        )
        told = config.basis * config.rows_width + config.scalars + config.text + config.rows_width + config.context
        self.head = nn.Sequential(
            nn.Linear(told, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden // 2),
            nn.ReLU(),
            nn.Linear(config.hidden // 2, 1),
        )

    def rows(self, curves: Tensor, variables: Tensor, context: Tensor) -> Tensor:
        """Encode a problem's rows.

        Parameters
        ----------
        curves : tensor, shape (rows, curves)
        variables : tensor, shape (features, rows, variable features)
        context : tensor, shape (context,)

        Returns
        -------
        tensor, shape (rows, rows_width)
        """
        each = self.variable(torch.cat([variables, curves.expand(len(variables), -1, -1)], dim=2))
        told = [curves, each.mean(0), each.amax(0), context.expand(len(curves), -1)]
        encoded: Tensor = self.row(torch.cat(told, dim=1))
        return encoded

    def told(self, rows: Tensor, context: Tensor, basis: Tensor, scalars: Tensor, text: Tensor) -> Tensor:
        """Put together what the head sees of parts; shape (parts, …)."""
        seen = (basis @ rows).flatten(1) / len(rows) ** 0.5
        whole = torch.cat([rows.mean(0), context]).expand(len(basis), -1)
        return torch.cat([seen, scalars, text, whole], dim=1)

    def forward(self, told: Tensor) -> Tensor:
        """Score parts, shape (parts,)."""
        scores: Tensor = self.head(told).squeeze(1)
        return scores

    def save(self, folder: Path) -> None:
        """Write weights and shape into a folder."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.state_dict(), folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Judge":
        """Read a judge; errors as of `safetensors`, `json` and `torch`."""
        from safetensors.torch import load_file

        config = JudgeConfig(**json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        judge = cls(config)
        judge.load_state_dict(load_file(folder / WEIGHTS))
        return judge.eval()
