"""The adapters of published transformers against the real packages, with small weights made here; nothing is fetched.

Each test is skipped where its package is not.  flash-ansr 0.19.1 needs Python 3.12; NeSymReS is on no registry and is
found where its clone's ``src`` is on the path.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural_benchmarks.methods import pretrained
from pysr_neural_benchmarks.methods.base import Budget
from pysr_neural_benchmarks.methods.registry import make

pytestmark = [
    pytest.mark.slow,
    # Warnings of packages that are not ours, of which there are many.
    pytest.mark.filterwarnings("ignore"),
]
X = np.random.default_rng(0).uniform(0.5, 2.0, (40, 2))
OPERATORS, LIMITS = OperatorSet.of("+", "*", "sin"), Limits(max_size=15)
PROBLEM = Problem(X, np.exp(np.sin(3 * X[:, 0])) / X[:, 1], OPERATORS, LIMITS)
"""One that nothing of what the models are taught solves, so that a fit spends its budget."""
LAW = Problem(X, 2.5 * X[:, 0] + X[:, 0] * X[:, 1], OPERATORS, LIMITS)
TAUGHT = (
    ("+", "*", "<constant>", "x1", "*", "x1", "x2"), ("sin", "+", "x1", "<constant>"), ("*", "x1", "sin", "x2"),
    ("/", "x1", "x2"), ("pow", "x1", "<constant>"), ("-", "exp", "x1", "x2"), ("log", "+", "x1", "x2"),
    ("neg", "inv", "x2"), ("*", "np.pi", "abs", "cos", "x1"),
)  # fmt: skip
"""What flash-ansr's model is taught to write, each as often: random weights seldom write a whole expression."""
STEPS = 300
UNARY = ("neg", "inv", "sin", "cos", "exp", "log", "abs")
BINARY = {"+": "+", "-": "-", "*": "*", "/": "simplipy.operators.div", "pow": "simplipy.operators.pow"}
SPECIAL = (
    "<pad>", "<bos>", "<eos>", "<unk>", "<cls>", "<mask>", "<constant>", "<expression>", "</expression>",
    "<complexity>", "</complexity>", "<float>", "<mask_all>", "<mask_fittable>", "np.pi", "np.e", "0", "1", "(-1)",
)  # fmt: skip


@pytest.fixture(scope="module")
def flash_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of flash-ansr's own making, of 16 dimensions, and an engine of simplipy's without rules."""
    flash_ansr = pytest.importorskip("flash_ansr")
    if not hasattr(flash_ansr, "ComputeConfig"):
        pytest.skip("needs flash-ansr 0.19.1 or newer, which needs Python 3.12")
    import torch
    import yaml
    from flash_ansr.utils.ieee754 import IEEE754_SPECIAL_TOKENS
    from flash_ansr.utils.weights import save_weights

    folder = tmp_path_factory.mktemp("flash")
    operators = {
        name: {"realization": realization, "alias": [], "arity": arity, "commutative": name in "+*"}
        for names, arity in (({name: f"simplipy.operators.{name}" for name in UNARY}, 1), (BINARY, 2))
        for name, realization in names.items()
    }
    parts = {
        "engine": {"operators": operators},
        "tokenizer": {
            "special_tokens": [*SPECIAL, *IEEE754_SPECIAL_TOKENS],
            "operators": list(operators),
            "variables": ["x1", "x2", "x3"],
        },
        "model": {
            "simplipy_engine": str(folder / "engine.yaml"),
            "tokenizer": str(folder / "tokenizer.yaml"),
            "pre_encoder_noise_scale": 0.0,
            "pre_encoder_bits": 64,
            "encoder_max_n_variables": 4,
            "use_checkpointing": False,
            **_sizes("encoder", dim=16, n_heads=2, n_isab=1, n_sab=1, n_inducing_points=4, n_seeds=2),
            **_sizes("encoder", ffn_hidden_dim=16, dropout=0.0, attn_norm="none", ffn_norm="none", output_norm="none"),
            **_sizes("decoder", input_dim=16, model_dim=16, n_layers=1, n_heads=2, max_seq_len=96, ffn_hidden_dim=16),
            **_sizes("decoder", dropout=0.0, block_self_attn_norm="rms", block_cross_attn_norm="rms"),
            **_sizes("decoder", block_ffn_norm="rms", cross_attn_kv_norm="rms", output_norm="rms"),
            **_sizes("decoder", use_rope_self_attn=True, use_rope_cross_attn=False),
        },
    }
    for name, content in parts.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    torch.manual_seed(0)
    model = flash_ansr.FlashANSRModel.from_config(str(folder / "model.yaml"))
    _teach(model)
    save_weights(model, str(folder))
    return folder


def _teach(model: Any) -> None:
    """Teach a model of flash-ansr to write any of `TAUGHT`, whatever the data, behind its prompt for constants."""
    import torch

    written = [("<bos>", "<mask_fittable>", "<expression>", *each, "</expression>", "<eos>") for each in TAUGHT]
    tokens = torch.full((len(written), max(map(len, written))), model.tokenizer["<pad>"])
    for row, each in zip(tokens, written, strict=True):
        row[: len(each)] = torch.tensor([model.tokenizer[token] for token in each])
    # No position has a number of its own, which it writes as NaN.
    numbers = torch.full((*tokens[:, :-1].shape, 1), torch.nan, dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        # The same points for all that is written, others in each step: nothing to tell it by.
        points = torch.rand(1, 20, 4, dtype=torch.float64).expand(len(written), -1, -1) + 0.5
        logits = model(tokens[:, :-1], points, input_num=numbers)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=model.tokenizer["<pad>"]
        )
        loss.backward()
        optimizer.step()


def _sizes(part: str, **values: object) -> dict[str, object]:
    return {f"{part}_{name}": value for name, value in values.items()}


def test_flash_ansr_finds_what_it_says(flash_folder: Path) -> None:
    method = make(f"flash-ansr:{flash_folder}")
    method.warm_up(PROBLEM)
    outcome = method.fit(PROBLEM, Budget(evaluations=200), 1)
    assert outcome.evaluations == 64 + 128 + 256
    assert outcome.iterations == 3
    assert outcome.steps[-1].front
    for found in outcome.steps[-1].front:
        tree = parse(found.equation)
        assert tree.size == found.complexity <= PROBLEM.limits.max_size
        np.testing.assert_allclose(np.mean((evaluate(tree, X) - PROBLEM.y) ** 2), found.loss)
    again = make(f"flash-ansr:{flash_folder}").fit(PROBLEM, Budget(evaluations=200), 1)
    assert again.steps[-1].front == outcome.steps[-1].front


def test_flash_ansr_s_whole_expression_is_found_with_its_constant(flash_folder: Path) -> None:
    outcome = make(f"flash-ansr:{flash_folder}").fit(LAW, Budget(evaluations=200), 0)
    assert outcome.steps[-1].front[-1].loss < 1e-12
    tree = parse(outcome.steps[-1].front[-1].equation)
    np.testing.assert_allclose(evaluate(tree, X + 1.0), (X[:, 0] + 1.0) * (X[:, 1] + 3.5), rtol=1e-6)


def test_flash_ansr_s_equations_mean_to_us_what_they_mean_to_it(flash_folder: Path) -> None:
    method = make(f"flash-ansr:{flash_folder}")
    assert isinstance(method, pretrained.FlashANSR)
    assert method.predict(PROBLEM, 128, 3)
    model, compared = method._model, 0
    for rank in range(len(model.result_.candidates)):
        text = pretrained.infix(model.get_expression(rank, return_prefix=True, map_variables=False))
        theirs = np.asarray(model.predict(X, rank=rank)).ravel()
        if text is None or not np.isfinite(theirs).all():
            continue
        ours = evaluate(parse(text, ["x1", "x2"]), X)
        np.testing.assert_allclose(np.broadcast_to(ours, theirs.shape), theirs, rtol=1e-9)
        compared += 1
    assert compared >= 5


def test_a_folder_of_the_older_flash_ansr_is_told(flash_folder: Path, tmp_path: Path) -> None:
    for name in ("model.yaml", "tokenizer.yaml", "state_dict.pt"):
        (tmp_path / name).touch()
    with pytest.raises(pretrained.ConfigError, match=r"model\.safetensors in .* before 0\.15"):
        make(f"flash-ansr:{tmp_path}")


WORDS = {"P": 0, "S": 1, "F": 2, "c": 3, "x_1": 4, "x_2": 5, "x_3": 6, "add": 7, "mul": 8, "sin": 9}
LENGTH = 12
WRITTEN = ("S", "add", "mul", "c", "x_1", "mul", "x_1", "x_2", "F")
"""What the model is taught to write in some hundred steps, since random weights end every expression at once."""


@pytest.fixture(scope="module")
def nesymres_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of NeSymReS' own making, of 16 dimensions, in the files that its authors publish."""
    pytest.importorskip("pytorch_lightning")
    if find_spec("nesymres") is None:
        pytest.skip("nesymres is on no registry: put the src of a clone on the path")
    import pytorch_lightning
    import torch
    from omegaconf import OmegaConf

    pretrained._import_settings()
    from nesymres.architectures.model import Model

    folder = tmp_path_factory.mktemp("nesymres")
    # What it takes for granted: as many words as an equation may be long.
    config = OmegaConf.create({
        "sinuisodal_embeddings": False, "dec_pf_dim": 16, "dec_layers": 1, "dim_hidden": 16, "lr": 1e-2, "dropout": 0,
        "num_features": 2, "ln": True, "N_p": 0, "num_inds": 4, "activation": "relu", "bit16": True, "norm": True,
        "linear": False, "input_normalization": False, "src_pad_idx": 0, "trg_pad_idx": 0, "length_eq": LENGTH,
        "n_l_enc": 1, "mean": 0.5, "std": 0.5, "dim_input": 4, "num_heads": 2, "output_dim": LENGTH,
    })  # fmt: skip
    OmegaConf.save(OmegaConf.create({"architecture": config}), folder / "config.yaml")
    setting = {
        "word2id": WORDS,
        "id2word": {str(number): word for word, number in WORDS.items()},
        "una_ops": ["sin"],
        "bin_ops": ["add", "mul"],
        "total_variables": ["x_1", "x_2", "x_3"],
        "total_coefficients": ["cm_0", "ca_0"],
        "rewrite_functions": [],
    }
    (folder / "eq_setting.json").write_text(json.dumps(setting))
    torch.manual_seed(0)
    model = Model(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    points = torch.rand(4, 20, 4) + 0.5
    target = torch.tensor([[WORDS[word] for word in WRITTEN]] * 4)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model.compute_loss(*model.forward((points.permute(0, 2, 1), target)))
        loss.backward()
        optimizer.step()
    saved = {"state_dict": model.state_dict(), "pytorch-lightning_version": pytorch_lightning.__version__}
    torch.save(saved, folder / "small.ckpt")
    return folder


def test_nesymres_finds_what_it_says(nesymres_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = make(f"nesymres:{nesymres_folder}").fit(LAW, Budget(evaluations=64), 0)
    assert outcome.steps[-1].front[-1].loss < 1e-8
    for found in outcome.steps[-1].front:
        np.testing.assert_allclose(np.mean((evaluate(parse(found.equation), X) - LAW.y) ** 2), found.loss)
    assert not capsys.readouterr().out


def test_nesymres_s_variables_that_a_problem_has_not_are_what_it_fits_with(nesymres_folder: Path) -> None:
    # It writes c x_1 + x_1 x_2, and has 1 for the x_2 that there is not.
    alone = Problem(X[:, :1], 3.5 * X[:, 0], OPERATORS, LIMITS)
    outcome = make(f"nesymres:{nesymres_folder}").fit(alone, Budget(evaluations=64), 0)
    assert outcome.steps[-1].front[-1].loss < 1e-8
