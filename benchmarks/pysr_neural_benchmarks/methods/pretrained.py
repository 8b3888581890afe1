"""Published transformers that predict expressions: flash-ansr and NeSymReS, wherever they are installed.

Owns: their adapters, and saying what is missing.  Does not own: them; their weights are the user's to fetch.

Neither is asked for a front while it works: each batch of samples gives its candidates when it is done, and batches
follow until the budget is spent.
"""

import dataclasses
import json
import math
import re
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError, ExpressionError
from pysr_neural.expression.fit import mean_squared_error
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import is_known, operator
from pysr_neural.problem import Problem
from pysr_neural_benchmarks.methods.base import Budget, Found, Front, Outcome, solved_loss
from pysr_neural_benchmarks.methods.printed import plain, silenced

CHOICES = 64
"""Samples of the first batch; every next one is twice as large."""
LARGEST = 4096
SETTINGS = "nesymres.dclasses"


def folder_of(name: str, argument: str, files: tuple[str, ...], remedy: str) -> Path:
    """Return the folder of a method's weights.

    Raises
    ------
    ConfigError
        Saying which file is missing and how to get it.
    """
    if not argument:
        raise ConfigError(f"{name} needs the folder of its weights as {name}:FOLDER; got none. {remedy}")
    missing = [file for file in files if not any(Path(argument).glob(file))]
    if missing:
        raise ConfigError(f"{name} needs {', '.join(missing)} in {argument}; not found. {remedy}")
    return Path(argument)


class _Batches:
    """Batches of samples, each twice as large as the last, until the budget is spent."""

    def predict(self, problem: Problem, choices: int, seed: int) -> list[str]:
        """Return a batch's equations, with variables as the model calls them."""
        raise NotImplementedError

    def warm_up(self, problem: Problem) -> None:
        """Predict once."""
        self.predict(problem, 1, 0)

    def fit(self, problem: Problem, budget: Budget, seed: int) -> Outcome:
        """See `methods.base.Method`."""
        began = time.perf_counter()
        front, enough = Front(problem.limits.max_size), solved_loss(problem.y)
        choices, evaluations, batches = CHOICES, 0, 0
        while not budget.spent(time.perf_counter() - began, evaluations) and front.lowest_loss > enough:
            texts = self.predict(problem, choices, seed + batches)
            batches, evaluations = batches + 1, evaluations + choices
            found = [each for text in texts if (each := read(text, problem)) is not None]
            front.offer(found, time.perf_counter() - began, evaluations, batches)
            choices = min(2 * choices, LARGEST)
        return Outcome(tuple(front.steps), time.perf_counter() - began, evaluations, batches)


def read(text: str, problem: Problem) -> Found | None:
    """Read a predicted equation, whose variables are ``x1``, ``x_1`` or ``v1`` …; None if it cannot be read."""
    count = problem.X.shape[1]
    for prefix in ("x", "x_", "v"):
        try:
            tree = parse(plain(text), [f"{prefix}{i + 1}" for i in range(count)])
        except ExpressionError:
            continue
        loss = mean_squared_error(tree, problem.X, problem.y)
        return Found(tree.size, loss, to_string(tree)) if math.isfinite(loss) else None
    return None


class FlashANSR(_Batches):
    """flash-ansr with softmax sampling and its own refinement of constants.

    Two generations of it: 0.4.3, the last for Python 3.11, whose models have ``state_dict.pt``; and that of 0.19.1,
    for Python 3.12 and newer, whose models have ``model.safetensors`` and read numbers as 64 bits: it hands 64 bits to
    models of 32 too (``pre_encoder_bits``), which they refuse.
    """

    def __init__(self, argument: str, checkpoint: str) -> None:
        del checkpoint
        remedy = (
            "Fetch a model with `flash_ansr.install_model(...)`, or from its page on the Hugging Face hub "
            "(psaegert/flash-ansr-…)."
        )
        # Which files there must be, its version tells; that a folder must be given is told without it.
        folder_of("flash-ansr", argument, (), remedy)
        import flash_ansr

        self.newer = hasattr(flash_ansr, "ComputeConfig")
        if self.newer:
            remedy += " Those of flash-ansr before 0.15 need that version."
        weights = "model.safetensors" if self.newer else "state_dict.pt"
        self.folder = folder_of("flash-ansr", argument, ("model.yaml", "tokenizer.yaml", weights), remedy)
        self._model: Any = None

    def predict(self, problem: Problem, choices: int, seed: int) -> list[str]:
        """See `_Batches`."""
        return (self._predict_newer if self.newer else self._predict_older)(problem, choices, seed)

    def _predict_older(self, problem: Problem, choices: int, seed: int) -> list[str]:
        import torch
        from flash_ansr import FlashANSR as Model
        from flash_ansr import SoftmaxSamplingConfig

        torch.manual_seed(seed)
        if self._model is None:
            self._model = Model.load(str(self.folder), refiner_workers=1)
        self._model.generation_config = SoftmaxSamplingConfig(choices=choices)
        self._model.fit(problem.X, problem.y[:, None], variable_names=None)
        count = min(len(self._model.results), CHOICES)
        return [str(self._model.get_expression(i, precision=17)) for i in range(count)]

    def _predict_newer(self, problem: Problem, choices: int, seed: int) -> list[str]:
        from flash_ansr import FlashANSR as Model

        if self._model is None:
            self._model = Model.load(str(self.folder), compute={"workers": 0})
        result = self._model.fit(problem.X, problem.y[:, None], variable_names=None, draws=choices, seed=seed)
        texts = (
            infix(result.get_expression(i, return_prefix=True, map_variables=False))
            for i in range(min(len(result.candidates), CHOICES))
        )
        return [text for text in texts if text is not None]


_SPECIAL = {"np.pi": math.pi, "pi": math.pi, "np.e": math.e, "e": math.e}
_SHORT = re.compile(r"(pow|mult|div|pow1_)([2-9])")
_VARIABLE = re.compile(r"\bx_([0-9]+)\b")
_SHAPES = {"pow": "({0} ^ {1})", "mult": "({0} * {1})", "div": "({0} / {1})", "pow1_": "({0} ^ (1 / {1}))"}
_BINARY = {"+": "({} + {})", "-": "({} - {})", "*": "({} * {})", "/": "({} / {})", "pow": "({} ^ {})"}


def infix(tokens: Sequence[str]) -> str | None:
    """Write flash-ansr's prefix tokens in our syntax, variables ``x1``, ``x2``, …; None if there is no such form."""
    stack: list[str] = []
    for token in reversed(tokens):
        short = _SHORT.fullmatch(token)
        try:
            if token in _BINARY:
                stack.append(_BINARY[token].format(stack.pop(), stack.pop()))
            elif token == "rootn":
                stack.append(f"({stack.pop()} ^ (1 / {stack.pop()}))")
            elif short is not None:
                stack.append(_SHAPES[short[1]].format(stack.pop(), short[2]))
            elif is_known(token):
                if operator(token).arity != 1:
                    return None
                stack.append(f"{token}({stack.pop()})")
            else:
                stack.append(repr(_SPECIAL[token]) if token in _SPECIAL else f"({token})")
        except IndexError:
            return None
    return stack[0] if len(stack) == 1 else None


class NeSymReS(_Batches):
    """NeSymReS with beam search and BFGS; its models know at most three variables.

    It was written for Python 3.10 and older, and is imported in a way that newer ones take.
    """

    def __init__(self, argument: str, checkpoint: str) -> None:
        del checkpoint
        remedy = "They are on the Hugging Face hub: TommasoBendinelli/NeuralSymbolicRegressionThatScales."
        self.folder = folder_of("nesymres", argument, ("*.ckpt", "config.yaml", "eq_setting.json"), remedy)
        self._model: Any = None

    def predict(self, problem: Problem, choices: int, seed: int) -> list[str]:
        """See `_Batches`."""
        import torch
        from omegaconf import OmegaConf

        _import_settings()
        from nesymres.architectures.model import Model
        from nesymres.dclasses import BFGSParams, FitParams

        if problem.X.shape[1] > 3:
            return []
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - its fits begin where the global generator says.
        config = OmegaConf.load(self.folder / "config.yaml")
        if self._model is None:
            weights = str(sorted(self.folder.glob("*.ckpt"))[0])
            self._model = Model.load_from_checkpoint(weights, cfg=config.architecture).eval()
        setting = json.loads((self.folder / "eq_setting.json").read_text(encoding="utf-8"))
        parameters = FitParams(
            word2id=setting["word2id"],
            id2word={int(key): word for key, word in setting["id2word"].items()},
            una_ops=setting["una_ops"],
            bin_ops=setting["bin_ops"],
            total_variables=list(setting["total_variables"]),
            total_coefficients=list(setting["total_coefficients"]),
            rewrite_functions=list(setting["rewrite_functions"]),
            bfgs=BFGSParams(),
            beam_size=max(2, choices // 32),
        )
        X = np.zeros((len(problem.y), 3))
        X[:, : problem.X.shape[1]] = problem.X
        with silenced():
            answer = self._model.fitfunc(X, problem.y, cfg_params=parameters)
        return [_without_padding(str(text), problem.X.shape[1]) for text in answer["all_bfgs_preds"]]


def _without_padding(text: str, features: int) -> str:
    """Write 1 for variables that a problem has not: so NeSymReS fits where a column is 0 in all rows."""
    return _VARIABLE.sub(lambda found: found[0] if int(found[1]) <= features else "1", text)


def _import_settings() -> None:
    """Import NeSymReS' settings: one is another's default, which Python 3.11 and later refuse if it has no hash."""
    own: Any = dataclasses.dataclass

    def hashed(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return partial(hashed, **options)
        # Those of what it imports in turn stay as they are: some have a hash of their own, and refuse another.
        return own(cls, **(options | {"unsafe_hash": True} if cls.__module__ == SETTINGS else options))

    dataclasses.dataclass = hashed
    try:
        import_module(SETTINGS)
    finally:
        dataclasses.dataclass = own
