"""Where no help is asked for, the search is plain PySR's, bit for bit."""

import pytest

from pysr_neural.config import NeuralProposer
from tests.interop.conftest import SMALL, small_data

pytestmark = [pytest.mark.julia, pytest.mark.filterwarnings("default")]

REPRODUCIBLE = {**SMALL, "deterministic": True, "random_state": 11, "niterations": 5, "populations": 3}


def front(model):
    return model.equations_[["equation", "loss", "complexity"]].to_dict("list")


@pytest.fixture(scope="module")
def plain(julia):
    import pysr

    return front(pysr.PySRRegressor(**REPRODUCIBLE).fit(*small_data()))


def test_none_is_plain_pysr(plain):
    from pysr_neural import PySRRegressor

    assert front(PySRRegressor(**REPRODUCIBLE, neural_proposer=None).fit(*small_data())) == plain


def test_recording_changes_nothing(plain):
    from pysr_neural import PySRRegressor

    model = PySRRegressor(**REPRODUCIBLE, neural_proposer=NeuralProposer(levels=())).fit(*small_data())
    assert front(model) == plain
    assert model.neural_report_.calls == 0
    assert model.neural_report_.served == 0


def test_another_seed_is_another_search(plain):
    from pysr_neural import PySRRegressor

    model = PySRRegressor(**{**REPRODUCIBLE, "random_state": 12}).fit(*small_data())
    assert front(model) != plain
