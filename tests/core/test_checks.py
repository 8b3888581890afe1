"""Numbers of any library work as settings; what is none is refused by the setting's name."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from pysr_neural.checks import flag, number, texts, whole
from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.expression.sample import GrowRules
from pysr_neural.problem import Limits
from pysr_neural.proposer.adaptation import AdaptationRules
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.scripted import RandomProposer

THREES = (3, 3.0, np.int64(3), np.uint8(3), np.float32(3), np.float64(3), np.array(3), np.array(3.0), Fraction(3))
NO_NUMBERS = (True, np.True_, "3", b"3", None, [3], np.array([3]), 3 + 0j, float("nan"), Decimal("nan"))


@pytest.mark.parametrize("three", THREES, ids=repr)
def test_three_is_three_whoever_made_it(three):
    for check in (whole, number):
        found = check("n", three)
        assert found == 3
        assert type(found) is (int if check is whole else float)


@pytest.mark.parametrize("check", [whole, number])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_named(check, value):
    with pytest.raises(ConfigError, match=r"^n must be a .*number.*; got "):
        check("n", value)


def test_bounds():
    assert whole("n", 2, 2, 2) == 2
    for bad in (1, 4, 2.5, float("inf")):
        with pytest.raises(ConfigError, match="n must be a whole number at least 2 and at most 3"):
            whole("n", bad, 2, 3)
    assert number("s", 1, above=0, most=1) == 1.0
    assert number("s", float("inf"), finite=False) == float("inf")
    for bad in (0, 1.1, float("inf"), 10**400):
        with pytest.raises(ConfigError, match="s must be a finite number above 0 and at most 1"):
            number("s", bad, above=0, most=1)
    with pytest.raises(ConfigError, match="below 1"):
        number("s", 1, below=1)


def test_truth_and_texts():
    assert flag("f", np.True_) is True
    assert flag("f", False) is False
    with pytest.raises(ConfigError, match="f must be True or False; got 1"):
        flag("f", 1)
    assert texts("t", None) == ()
    assert texts("t", "sin") == ("sin",)
    assert texts("t", np.array(["a", "b"])) == ("a", "b")
    for bad in (3, [1], ["a", None]):
        with pytest.raises(ConfigError, match="t must be a sequence of texts"):
            texts("t", bad)


MADE = (
    (NeuralProposer, "max_overhead", np.float32(0.5), 0.5),
    (NeuralProposer, "temperature", np.int64(1), 1.0),
    (NeuralProposer, "batch_size", 32.0, 32),
    (NeuralProposer, "seed", np.float64(2), 2),
    (NeuralProposer, "weight", np.float16(0.25), 0.25),
    (NeuralProposer, "seed_timeout", np.int8(0), 0.0),
    (GuardRules, "max_overhead", np.float32(0.5), 0.5),
    (GuardRules, "max_failures", 2.0, 2),
    (GrowRules, "stop", np.int64(1), 1.0),
    (Limits, "max_size", 10.0, 10),
    (Limits, "max_depth", np.int64(4), 4),
    (RandomProposer, "max_depth", 2.0, 2),
    (AdaptationRules, "shrinkage", np.int64(2), 2.0),
)


@pytest.mark.parametrize(("kind", "name", "given", "kept"), MADE)
def test_settings_take_any_library_s_numbers_and_keep_python_s(kind, name, given, kept):
    made = kind(**{name: given})
    assert made == kind(**{name: kept})
    assert type(getattr(made, name)) is type(kept)


@pytest.mark.parametrize(("kind", "name"), sorted({(kind, name) for kind, name, _, _ in MADE}, key=str))
@pytest.mark.parametrize("wrong", ["1", None, float("nan"), -1], ids=repr)
def test_wrong_settings_are_named(kind, name, wrong):
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        kind(**{name: wrong})
