"""The encoder's statistics: they show what they are there to show, and survive any data."""

import numpy as np
import pytest
import torch

from pysr_neural.model.probes import PROBES, TARGETS, VARIABLE_SLOTS, probe_features
from pysr_neural.wire.prompt import DATA_COLUMNS

LINEAR, POWERS, SQUARES = range(3)
Y, LOG_Y, RECIPROCAL, SQUARE, RESIDUAL = range(5)


def measured(X: np.ndarray, y: np.ndarray, residual: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return how well each target is explained jointly, and the exponents."""
    columns = np.full((len(X), DATA_COLUMNS), np.nan, dtype=np.float32)
    columns[:, : X.shape[1]], columns[:, -2] = X, y
    if residual is not None:
        columns[:, -1] = residual
    data = torch.from_numpy(columns)[None]
    found = probe_features(data, torch.ones(data.shape[:2], dtype=torch.bool))[0].numpy()
    assert found.shape == (PROBES,)
    assert np.all(np.abs(found) <= 1)
    explained = found[-VARIABLE_SLOTS - 3 * TARGETS : -VARIABLE_SLOTS].reshape(TARGETS, 3)
    return explained, 4 * found[-VARIABLE_SLOTS:]


@pytest.fixture
def X() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 3.0, size=(50, 3))


def test_a_power_law_shows_its_exponents(X: np.ndarray) -> None:
    explained, exponents = measured(X, 7.0 * X[:, 0] ** 2 * X[:, 1] / np.sqrt(X[:, 2]))
    np.testing.assert_allclose(exponents[:4], [2.0, 1.0, -0.5, 0.0], atol=1e-3)
    assert explained[LOG_Y, POWERS] > 0.95
    assert explained[Y, LINEAR] < 0.5


@pytest.mark.parametrize(
    ("law", "target", "by"),
    [
        (lambda x: 3 * x[0] - x[1] + 2, Y, LINEAR),
        (lambda x: x[0] ** 2 + 2 * x[1], Y, SQUARES),
        (lambda x: 1 / (x[0] + x[1]), RECIPROCAL, LINEAR),
        (lambda x: np.sqrt(x[0] + 2 * x[2]), SQUARE, LINEAR),
        (lambda x: np.exp(x[0] - x[1]), LOG_Y, LINEAR),
    ],
)
def test_each_law_shows_where_it_is_simple(X: np.ndarray, law, target: int, by: int) -> None:
    explained, _ = measured(X, law(X.T))
    assert explained[target, by] > 0.9
    assert explained[RESIDUAL].max() == 0.0


def test_the_residual_is_measured_too(X: np.ndarray) -> None:
    explained, _ = measured(X, np.sin(X[:, 0]), residual=2 * X[:, 1])
    assert explained[RESIDUAL, LINEAR] > 0.9
    assert explained[Y, LINEAR] < 0.9


@pytest.mark.parametrize("rows", [1, 2, 30])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e38])
def test_any_data_gives_finite_features(rows: int, size: float) -> None:
    X = np.random.default_rng(1).normal(size=(rows, 10)) * size
    measured(X, np.zeros(rows))
    measured(X, X[:, 0], residual=X[:, 1])
