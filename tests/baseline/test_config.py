"""Settings: the reference preset, checks, unknown names."""

from dataclasses import fields

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural_baseline.config import BasicSRConfig, MutationWeights
from pysr_neural_baseline.mutation import MUTATIONS


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
    assert (config.populations, config.cycles_per_iteration, config.children) == (1, 1, 99)
    assert (config.variation, config.replacement, config.tournament_p) == ("grow", "generational", 1.0)
    assert (config.annealing, config.frequency_parsimony) == (float("inf"), 0.0)
    assert (config.migration, config.migration_best, config.simplify) == (0.0, 0.0, False)


def test_default_preset_has_pysr_s_figures():
    config = BasicSRConfig()
    assert (config.population_size, config.tournament_size, config.tournament_p) == (27, 15, 0.982)
    assert (config.annealing, config.frequency_parsimony, config.crossover_probability) == (3.17, 1040.0, 0.2)
    assert (config.migration, config.migration_best, config.migration_count) == (0.00036, 0.0614, 12)
    weights = config.mutations
    assert (weights.constant, weights.operator, weights.feature, weights.swap) == (0.0346, 0.293, 0.1, 0.198)
    assert (weights.rotate, weights.add, weights.insert, weights.delete) == (4.26, 2.47, 0.0112, 0.87)
    assert (weights.simplify, weights.randomize, weights.do_nothing) == (0.00209, 0.0005, 0.273)
    assert tuple(each.name for each in fields(weights)) == MUTATIONS


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_mutation_weights_must_be_usable(weight):
    with pytest.raises(ConfigError, match="swap must be a finite number at least 0"):
        MutationWeights(swap=weight)
    with pytest.raises(ConfigError, match="above 0"):
        MutationWeights(*[0.0] * len(MUTATIONS))


def test_presets_go_by_name():
    assert BasicSRConfig.of("reference", population_size=20) == BasicSRConfig.reference(population_size=20)
    assert BasicSRConfig.of("default") == BasicSRConfig()
    with pytest.raises(ConfigError, match="Did you mean 'reference'"):
        BasicSRConfig.of("referense")


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
        {"populations": 0},
        {"cycles_per_iteration": 0},
        {"variation": "kind"},
        {"replacement": "newest"},
        {"tournament_p": 0.0},
        {"annealing": 0.0},
        {"migration": 2.0},
    ],
)
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match="got"):
        BasicSRConfig(**settings)


@pytest.mark.parametrize("name", [each.name for each in fields(BasicSRConfig)])
def test_every_setting_names_itself_when_it_cannot_be_used(name):
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        BasicSRConfig(**{name: object()})


def test_settings_keep_python_s_own_numbers():
    config = BasicSRConfig(population_size=20.0, parsimony=np.int64(1), constants=np.ones(2), simplify=np.False_)
    assert config == BasicSRConfig(population_size=20, parsimony=1.0, constants=(1.0, 1.0), simplify=False)
    assert [type(value) for value in (config.population_size, config.parsimony, config.simplify)] == [int, float, bool]
    assert BasicSRConfig(timeout_seconds=float("inf"), annealing=float("inf")).timeout_seconds == float("inf")
