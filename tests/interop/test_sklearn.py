"""The estimator as scikit-learn and PySR's users treat it."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from pysr_neural.config import NeuralProposer
from tests.interop.conftest import LONGER, SMALL, small_data

pytestmark = [pytest.mark.julia, pytest.mark.filterwarnings("default")]
RANDOM = NeuralProposer(proposer="pysr_neural.proposer.scripted:RandomProposer", max_overhead=1.0)


def test_parameters_travel(julia):
    import pysr

    from pysr_neural import PySRRegressor

    ours, theirs = PySRRegressor(neural_proposer=RANDOM), pysr.PySRRegressor()
    assert set(ours.get_params()) == set(theirs.get_params()) | {"neural_proposer"}
    assert clone(ours).neural_proposer == RANDOM
    assert ours.set_params(neural_proposer="default", niterations=7).get_params()["niterations"] == 7
    with pytest.raises(TypeError, match="niteration"):
        PySRRegressor(niteratons=3)


def test_a_fitted_estimator_can_be_cloned_pickled_and_used(small_fit):
    X, y = small_data()
    model = small_fit(X, y, neural_proposer=RANDOM)
    assert not hasattr(clone(model), "equations_")
    loaded = pickle.loads(pickle.dumps(model))
    assert np.allclose(loaded.predict(X), model.predict(X))
    assert loaded.neural_report_ == model.neural_report_
    assert loaded.neural_proposer == RANDOM


def test_a_run_can_be_loaded_from_its_file(small_fit, tmp_path):
    from pysr_neural import PySRRegressor

    X, y = small_data()
    where = {"temp_equation_file": False, "output_directory": str(tmp_path), "run_id": "r"}
    model = small_fit(X, y, neural_proposer=RANDOM, **where)
    loaded = PySRRegressor.from_file(run_directory=tmp_path / "r")
    assert type(loaded) is PySRRegressor
    assert np.allclose(loaded.predict(X), model.predict(X))
    assert loaded.neural_report_ == model.neural_report_
    assert loaded.julia_options_ is not None


def test_a_warm_start_goes_on(small_fit):
    X, y = small_data()
    model = small_fit(X, y, neural_proposer=RANDOM, warm_start=True, niterations=3)
    before = model.equations_["loss"].min()
    calls = model.neural_report_.calls
    model.fit(X, y)
    assert model.equations_["loss"].min() <= before
    assert model.neural_report_.calls > 0
    assert calls > 0
    model.set_params(neural_proposer=None).fit(X, y)
    assert model.equations_["loss"].min() <= before


def test_a_run_of_plain_pysr_goes_on_with_help(small_fit, tmp_path):
    import pysr

    from pysr_neural import PySRRegressor

    X, y = small_data()
    where = {"temp_equation_file": False, "output_directory": str(tmp_path), "run_id": "plain", "warm_start": True}
    plain = pysr.PySRRegressor(**{**SMALL, **where}).fit(X, y)
    best = plain.equations_["loss"].min()
    model = PySRRegressor.from_file(run_directory=tmp_path / "plain", neural_proposer=RANDOM, warm_start=True)
    assert np.allclose(model.predict(X), plain.predict(X))
    model.set_params(**LONGER).fit(X, y)
    assert model.equations_["loss"].min() <= best
    assert model.neural_report_.calls > 0
    assert not model.neural_report_.failures
    ours = small_fit(X, y, warm_start=True)
    ours.set_params(neural_proposer=RANDOM, **LONGER).fit(X, y)
    assert ours.neural_report_.calls > 0


def test_several_outputs(small_fit):
    X, y = small_data()
    model = small_fit(X, np.stack([y, 2 * X[:, 0]], axis=1), neural_proposer=RANDOM, **LONGER)
    assert len(model.equations_) == 2
    assert model.predict(X).shape == (40, 2)
    assert model.neural_report_.served > 0


def test_data_frames_and_feature_selection(small_fit):
    import pandas as pd

    X, y = small_data(60, 5)
    frame = pd.DataFrame(X, columns=[f"feature_{i}" for i in range(5)])
    model = small_fit(frame, pd.Series(y), neural_proposer=RANDOM, select_k_features=2)
    assert len(model.feature_names_in_) == 5 or len(model.equations_) > 0


def test_a_second_search_uses_the_same_server(small_fit):
    from pysr_neural.interop.process import servers

    small_fit(neural_proposer=RANDOM)
    first = servers.get(RANDOM).pid
    small_fit(neural_proposer=RANDOM)
    assert servers.get(RANDOM).pid == first


def test_parameters_of_small_are_all_pysr_s(julia):
    from pysr_neural import PySRRegressor

    assert set(SMALL) <= set(PySRRegressor().get_params())
