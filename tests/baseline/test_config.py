"""Settings: the reference preset, checks, unknown names."""

import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_baseline.config import BasicSRConfig


def test_reference_preset_is_the_published_algorithm():
    config = BasicSRConfig.reference()
    assert (config.population_size, config.generations, config.max_size, config.initial_depth) == (100, 50, 15, 4)
    assert (config.tournament_size, config.crossover_probability, config.terminal_mutation) == (3, 0.7, 0.5)
    assert (config.grow.variable, config.grow.stop, config.grow.unary) == (0.7, 0.3, 0.35)
    assert (config.mutation_depth, config.constants, config.parsimony) == (2, (1.0,), 0.01)
    assert (config.early_stop_loss, config.extra_generations) == (3e-16, 500)
    assert config.skip_bad_points
    assert config.guarded_arithmetic
    assert not config.relative_loss
    assert not config.optimize_constants


def test_presets_take_changes():
    assert BasicSRConfig.reference(population_size=20).population_size == 20
    assert BasicSRConfig.of(generations=3).generations == 3
    assert BasicSRConfig(levels=("child", "seed")).levels == ("seed", "child")


@pytest.mark.parametrize("make", [BasicSRConfig.of, BasicSRConfig.reference, BasicSRConfig().changed])
def test_unknown_settings_are_refused_with_a_suggestion(make):
    with pytest.raises(ConfigError, match="Did you mean 'population_size'"):
        make(popsize=3, populationsize=20)


@pytest.mark.parametrize(
    "settings",
    [
        {"population_size": 1},
        {"generations": -1},
        {"max_size": 0},
        {"tournament_size": 0},
        {"crossover_probability": 2},
        {"terminal_mutation": -0.1},
        {"constants": (float("inf"),)},
        {"parsimony": -1.0},
        {"parsimony": float("nan")},
        {"timeout_seconds": -1.0},
        {"max_evaluations": 0},
        {"proposal_share": 1.1},
        {"levels": ("chld",)},
        {"population_size": 2, "tournament_size": 3},
        {"optimize_every": 0},
    ],
)
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match="got"):
        BasicSRConfig(**settings)
