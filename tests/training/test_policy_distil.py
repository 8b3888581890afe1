"""Distilling the step that looks ahead: states, labels, the fit, the command."""

import json
from itertools import islice

import numpy as np
import pytest
import torch

from pysr_neural.expression.text import parse
from pysr_neural.proposer.policy import native
from pysr_neural.proposer.policy.native import NativeForesight, Place
from pysr_neural_training.policy import distil
from pysr_neural_training.policy.distil import (
    DistilConfig,
    Labels,
    fit,
    initial,
    label,
    loss_of,
    place_loss_of,
    scores,
    worth,
)
from tests.golden.make_native import problem_of

SMALL = DistilConfig(problems=2, states=2, generations=1, changes=4, epochs=2)


def seen(text="x0 + x1", limit=9):
    return NativeForesight(problem_of(("cos", "+", "*"))).look(parse(text), limit)


def test_a_change_from_which_one_more_finds_the_law_is_worth_more_than_one_from_which_none_does():
    look, rng = seen("x0 + cos(x1)"), np.random.default_rng(0)  # The law: x0 * x1 + cos(x1).
    product, constant = look.foresight.plants.index(parse("x0 * x1")), len(look.foresight.plants)
    at, other = (look.places.index(Place(node, "replace")) for node in (1, 2))
    assert worth(look, at, product, 9, rng) < np.log2(distil.FLOOR) + 1  # It is the law at once.
    assert worth(look, other, constant, 5, rng) > worth(look, at, product, 9, rng)
    same = look.foresight.plants.index(parse("x0"))
    assert worth(look, at, same, 9, rng) == distil.WORTHLESS


def test_labels_are_distributions_over_what_was_drawn():
    found = label(seen(), 9, 12, np.random.default_rng(0))
    assert found.features.shape == (12, native.PLACE_FEATURES + native.PLANT_FEATURES + 1)
    assert found.wanted.sum() == pytest.approx(1)
    assert (found.drawn < 0).all()
    assert found.places.shape == (native.DRAWN_PLACES, native.DRAW_FEATURES)
    absent = np.isnan(found.places[:, 0])
    assert absent.sum() == native.DRAWN_PLACES - len(seen().places)
    assert found.wanted_places.sum() == pytest.approx(1)
    assert (found.wanted_places[absent] == 0).all()


def test_the_networks_scores_are_the_twins():
    look, rng = seen(), np.random.default_rng(0)
    weights = rng.normal(size=native.WEIGHTS)
    features = look.features(np.array([0, 2]), np.array([1, 2]))
    found = scores(torch.from_numpy(weights), torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(found, look.scores(weights)[[0, 2], [1, 2]])


def test_fitting_lowers_the_loss():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(64, 6, native.PLACE_FEATURES + native.PLANT_FEATURES + 1))
    wanted = np.exp(3 * features[..., -1])
    places = rng.normal(size=(64, 5, native.DRAW_FEATURES))
    places[:, 4] = np.nan
    likely = np.exp(2 * places[..., 4])
    likely[:, 4] = 0
    labels = Labels(
        features,
        np.zeros((64, 6)),
        wanted / wanted.sum(axis=1, keepdims=True),
        places,
        likely / likely.sum(axis=1, keepdims=True),
    )
    begun = torch.from_numpy(initial(rng, features.shape[2]))
    np.testing.assert_allclose(scores(begun, torch.from_numpy(features)), distil.BY_LOSS * features[..., -1])
    weights = fit(labels, DistilConfig(epochs=40, batch_size=16))
    assert loss_of(torch.from_numpy(weights), labels) < 0.7 * loss_of(begun, labels)
    assert place_loss_of(torch.from_numpy(weights), labels) < 0.7 * place_loss_of(begun, labels)


def test_the_command_writes_weights_and_ends_with_one_json_object(tmp_path, capsys, monkeypatch):
    problem = problem_of(("cos", "+", "*"))
    monkeypatch.setattr(distil, "problems_of", lambda *_, **__: iter([problem] * 5))
    out = tmp_path / "model.safetensors"
    given = [f"--{name}={getattr(SMALL, name)}" for name in ("problems", "states", "generations", "changes", "epochs")]
    assert distil.main([*given, "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"loss", "uniform", "greedy", "states", "held_out_states", "seconds"} <= set(facts)
    assert native.load(out).shape == (native.WEIGHTS,)


def test_problems_of_four_kinds_take_turns():
    kinds = [problem.operators.names for problem in islice(distil.problems_of(0, "test"), 4)]
    assert len(set(kinds)) == 3  # The larger ones have the first set's operators.
