"""The stack machine: the same values as one expression after the other, with NumPy bit for bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pysr_neural.errors import DataError, ExpressionError
from pysr_neural.expression import stack
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.expression.stack import compile_trees, run
from pysr_neural.expression.tensor_functions import torch_functions
from pysr_neural.expression.text import parse
from pysr_neural.operators import OPERATORS
from pysr_neural.problem import OperatorSet
from tests.strategies import FEATURES, tame_floats, trees

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -2.5, 1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan]
any_float = st.one_of(st.sampled_from(SPECIAL), st.floats(), tame_floats)
inputs = st.lists(st.tuples(*[any_float] * FEATURES), min_size=1, max_size=9).map(np.array)


def bits(values: np.ndarray) -> np.ndarray:
    """The bits, except that NaN is NaN whatever its sign and payload."""
    return np.where(np.isnan(values), 0x7FF8 << 48, np.ascontiguousarray(values).view(np.int64))


@given(st.lists(trees(constants=any_float), max_size=8), inputs)
def test_values_are_those_of_evaluate_bit_for_bit(some: list[Node], X: np.ndarray) -> None:
    values = run(compile_trees(some), X)
    assert values.shape == (len(some), len(X))
    for tree, found in zip(some, values, strict=True):
        assert np.array_equal(bits(found), bits(evaluate(tree, X)))


@given(st.lists(trees(constants=any_float), min_size=1, max_size=6), st.integers(0, 2**32))
def test_each_program_may_have_its_own_inputs(some: list[Node], seed: int) -> None:
    X = np.random.default_rng(seed).normal(0, 3, (len(some), 7, FEATURES))
    for tree, found, own in zip(some, run(compile_trees(some), X), X, strict=True):
        assert np.array_equal(bits(found), bits(evaluate(tree, own)))


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("form", ["variables", "constant second", "constant first", "constants"])
def test_every_operator_in_every_form_and_on_special_values(name: str, form: str) -> None:
    X = np.array([(a, b) for a in SPECIAL for b in SPECIAL])
    first, second = variable(0), variable(1)
    for value in SPECIAL:
        left = constant(value) if form in ("constant first", "constants") else first
        right = constant(value) if form in ("constant second", "constants") else second
        tree = apply(name, *(left, right)[: OPERATORS[name].arity])
        some = [tree, apply("neg", tree), apply("+", first, tree)]
        for other, found in zip(some, run(compile_trees(some), X), strict=True):
            assert np.array_equal(bits(found), bits(evaluate(other, X)))


@pytest.mark.parametrize("name", OPERATORS)
def test_torch_means_the_same_by_every_operator(name: str) -> None:
    X = np.array([(a, b) for a in SPECIAL[:9] + SPECIAL[11:] for b in SPECIAL])
    tree = apply(name, *(variable(0), variable(1))[: OPERATORS[name].arity])
    values = run(compile_trees([tree]), torch.from_numpy(X))
    assert values.dtype == torch.float64
    np.testing.assert_allclose(values[0].numpy(), evaluate(tree, X), rtol=1e-14, atol=0)


def test_torch_has_every_row_of_the_operator_table() -> None:
    assert set(torch_functions()) == set(OPERATORS)


SMOOTH = OperatorSet.of("+", "-", "*", "neg", "sin", "cos", "atan", "tanh", "relu", "abs", "max", "min")


@given(st.lists(trees(SMOOTH, constants=tame_floats, max_leaves=6), min_size=1, max_size=6), st.integers(0, 2**32))
def test_torch_gives_the_values_of_numpy(some: list[Node], seed: int) -> None:
    X = np.random.default_rng(seed).uniform(-1.5, 1.5, (len(some), 6, FEATURES))
    programs = compile_trees(some)
    np.testing.assert_allclose(run(programs, torch.from_numpy(X)).numpy(), run(programs, X), rtol=1e-6, atol=1e-6)


def test_torch_computes_in_the_precision_of_the_data() -> None:
    programs = compile_trees([parse("x0 * 2.0 + sin(x1)"), parse("exp(1.5)")])
    X = torch.linspace(0, 1, 8, dtype=torch.float32).reshape(4, 2)
    values = run(programs, X)
    assert values.dtype == torch.float32
    wanted = np.stack([evaluate(parse("x0 * 2.0 + sin(x1)"), X.double().numpy()), np.full(4, np.exp(1.5))])
    np.testing.assert_allclose(values.numpy(), wanted, rtol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_values_of_the_cpu() -> None:
    programs = compile_trees([parse("x0 * 2.0 + sin(x1)"), parse("x0 ^ 2.0 / x1"), parse("log(x0 - x1)")])
    X = torch.rand(3, 50, 2, dtype=torch.float64)
    torch.testing.assert_close(run(programs, X.cuda()).cpu(), run(programs, X), equal_nan=True)


def test_many_programs_in_several_blocks_are_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [parse(f"x0 * {i}.0 + x1 / {i + 1}.0") for i in range(100)]
    X = np.random.default_rng(1).normal(size=(5, 2))
    whole = run(compile_trees(some), X)
    monkeypatch.setattr(stack, "BLOCK_BYTES", 1)
    assert np.array_equal(run(compile_trees(some), X), whole)


def test_programs_hold_constants_in_their_instructions_and_pad_with_nothing() -> None:
    programs = compile_trees([parse("x0 * 2.0 + 1.0"), parse("sin(x1)"), parse("exp(0.0)")])
    assert programs.instructions.shape == (3, 3)
    assert programs.operands.tolist() == [[0, 2, 1], [1, 0, 0], [1, 0, 0]]
    assert (programs.instructions[1:] == stack.NOTHING).sum() == 3
    assert (programs.depth, programs.features) == (1, 2)


def test_no_programs_give_no_values() -> None:
    assert run(compile_trees([]), np.zeros((4, 2))).shape == (0, 4)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (3, 4, 2), (2, 4, 1)])
def test_inputs_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="at least 2 features"):
        run(compile_trees([variable(1), variable(0)]), np.zeros(shape))


@pytest.mark.parametrize("tree", [Node("sni", (variable(0),)), Node("sin", (variable(0), variable(1)))])
def test_unknown_operators_are_refused(tree: Node) -> None:
    with pytest.raises(ExpressionError, match="row of the operator table"):
        compile_trees([tree])
