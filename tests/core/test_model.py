"""The model: padding and order mean nothing, the shared prefix computes what the full pass computes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pysr_neural.errors import CheckpointError
from pysr_neural.expression.text import parse
from pysr_neural.model.checkpoint import load, resolve
from pysr_neural.model.decoding import _start, encode
from pysr_neural.model.encoder import number_features
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.state import MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v

OPERATORS = OperatorSet.of("+", "*", "sin")


def problem_input(rows: int = 9) -> tuple[torch.Tensor, torch.Tensor, p.Prompt]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(rows, 2))
    slots = p.choose_slots(X, X[:, 0])
    members = (MemberView(parse("x0 * x1 + 2.5"), 0.3, 5), MemberView(parse("sin(x1)"), 0.6, 2))
    columns = p.data_columns(X, X[:, 0] ** 2, slots, X[:, 1])
    data = torch.from_numpy(columns)[None]
    return data, torch.ones(1, rows, dtype=torch.bool), p.build_prompt("onestep", OPERATORS, slots, 20, members)


def forward(
    model: ProposerModel, data: torch.Tensor, mask: torch.Tensor, prompt: p.Prompt, targets: list[int], padding: int = 0
) -> torch.Tensor:
    def padded(values: np.ndarray, fill: int) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([values, np.full(padding, fill)]))[None]

    ids = torch.tensor([[v.TARGET, *targets]])
    with torch.inference_mode():
        output = model(
            data,
            mask,
            padded(prompt.tokens, v.PAD),
            padded(prompt.positions, 0),
            padded(prompt.segments, 0),
            ids,
            torch.arange(ids.shape[1])[None],
            torch.full_like(ids, p.TARGET_SEGMENT),
        )
    return output.logits[0]


TARGETS = [v.ID["+"], v.ID["var:0"], v.ID["exp:+0"], v.ID["man:3"]]


def test_shared_prefix_equals_the_full_pass(small_model: ProposerModel) -> None:
    data, mask, prompt = problem_input()
    expected = forward(small_model, data, mask, prompt, TARGETS)
    with torch.inference_mode():
        _, suffix = _start(encode(small_model, small_model.encoder(data, mask), [prompt]))
        steps = [
            suffix.step(torch.tensor([token]), torch.tensor([0]), i) for i, token in enumerate([v.TARGET, *TARGETS])
        ]
        found = small_model.head(torch.cat(steps))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_padding_of_prompt_and_rows_means_nothing(small_model: ProposerModel) -> None:
    data, mask, prompt = problem_input()
    expected = forward(small_model, data, mask, prompt, TARGETS)
    more = torch.cat([data, torch.full_like(data[:, :4], 7.0)], dim=1)
    more_mask = torch.cat([mask, torch.zeros(1, 4, dtype=torch.bool)], dim=1)
    found = forward(small_model, more, more_mask, prompt, TARGETS, padding=5)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_order_of_rows_means_nothing(small_model: ProposerModel) -> None:
    data, mask, prompt = problem_input()
    torch.testing.assert_close(
        forward(small_model, data.flip(1), mask, prompt, TARGETS),
        forward(small_model, data, mask, prompt, TARGETS),
        atol=2e-5,
        rtol=1e-4,
    )


def test_future_tokens_are_not_seen(small_model: ProposerModel) -> None:
    data, mask, prompt = problem_input()
    changed = [*TARGETS[:-1], v.ID["man:7"]]
    torch.testing.assert_close(
        forward(small_model, data, mask, prompt, changed)[:-1], forward(small_model, data, mask, prompt, TARGETS)[:-1]
    )


def test_numbers_keep_every_bit_of_single_precision() -> None:
    one = torch.tensor([[[1.0, float("nan")]]])
    next_float = torch.nextafter(one, torch.tensor(2.0))
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert not torch.equal(number_features(one, mask), number_features(next_float, mask))
    half = number_features(one, mask).shape[-1] // 2
    assert (number_features(one, mask)[..., half:] == 0).all()


def test_huge_and_tiny_values_stay_finite() -> None:
    data = torch.tensor([[[3e38, -3e38], [1e-45, 0.0], [1.0, 2.0]]])
    assert torch.isfinite(number_features(data, torch.ones(1, 3, dtype=torch.bool))).all()


def test_save_and_load_give_identical_logits(small_model: ProposerModel, tmp_path: Path) -> None:
    small_model.save_pretrained(tmp_path)
    data, mask, prompt = problem_input()
    assert torch.equal(
        forward(load(str(tmp_path)), data, mask, prompt, TARGETS), forward(small_model, data, mask, prompt, TARGETS)
    )


def test_a_checkpoint_may_be_named_by_a_path(small_model: ProposerModel, tmp_path: Path) -> None:
    small_model.save_pretrained(tmp_path / "model")
    assert resolve(tmp_path / "model") == tmp_path / "model"
    assert TransformerProposer.from_checkpoint(tmp_path / "model").model.config.width == small_model.config.width
    for nowhere in (Path("/no/such"), Path("owner/name"), tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="does not exist"):
            TransformerProposer.from_checkpoint(nowhere)
    with pytest.raises(CheckpointError, match=r"'default', 'policy', a directory .*Did you mean 'policy'"):
        resolve("polcy")
    with pytest.raises(CheckpointError, match="'policy' is a policy of actions, for BasicSR"):
        resolve("policy")
    for wrong in (None, 3, b"x"):
        with pytest.raises(CheckpointError, match="a text or a path; got"):
            load(wrong)  # type: ignore[arg-type]


def test_default_checkpoint_is_small_and_loads() -> None:
    path = resolve("default")
    assert sum(file.stat().st_size for file in path.iterdir()) <= 8 * 2**20
    parameters = sum(q.numel() for q in load("default").parameters())
    assert 500_000 <= parameters <= 1_500_000


@pytest.mark.parametrize(
    "damage", ["missing", "pickle file", "pickle only", "truncated", "foreign", "vocabulary", "shape"]
)
def test_bad_checkpoints_are_refused_with_the_reason(small_model: ProposerModel, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "model"
    small_model.save_pretrained(path)
    weights, config = path / "model.safetensors", path / "config.json"
    name, reason = (
        str(path),
        {
            "missing": "does not exist",
            "pickle file": "Pickles can run code",
            "pickle only": "never read",
            "truncated": "must be a complete safetensors file",
            "foreign": "another program",
            "vocabulary": "vocabulary must be",
            "shape": "must fit its configuration",
        }[damage],
    )
    if damage == "missing":
        name = str(tmp_path / "nowhere")
    elif damage == "pickle file":
        name = str(tmp_path / "model.pt")
        Path(name).write_bytes(b"\x80")
    elif damage == "pickle only":
        weights.rename(path / "pytorch_model.bin")
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "foreign":
        config.write_text(config.read_text().replace("pysr_neural_proposer", "bert"))
    elif damage == "vocabulary":
        config.write_text(config.read_text().replace(v.VOCABULARY_HASH, "0" * 16))
    else:
        config.write_text(config.read_text().replace('"width": 32', '"width": 64'))
    with pytest.raises(CheckpointError, match=reason):
        load(name)
