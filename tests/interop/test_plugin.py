import types

import numpy as np
import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.interop import plugin as plugin_module
from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural.interop.process import Servers
from pysr_neural.proposer.policy import native


class FakeServer:
    token, alive = "secret", True

    def __init__(self, config, host=None):
        self.config, self.host = config, host

    def wait_until_ready(self, timeout):
        return f"unix:/somewhere/{self.host}"

    def stop(self):
        pass


@pytest.fixture
def package(monkeypatch):
    kept: dict[str, tuple] = {}
    made = types.SimpleNamespace(
        NeuralProposerPlugin=lambda **settings: settings,
        report=lambda session: {"calls": 2, "session": session},
        keep_data=lambda session, X, y: kept.update({session: (X, y)}),
        forget_data=lambda session: kept.pop(session, None),
        kept=kept,
    )
    monkeypatch.setattr(plugin_module.julia, "load_package", lambda: made)
    monkeypatch.setattr(plugin_module.julia, "boot", lambda: types.SimpleNamespace(__version__="2.7.2"))
    monkeypatch.setattr(plugin_module.julia, "vector_of_strings", list)
    monkeypatch.setattr(plugin_module.julia, "vector_of_floats", lambda values: values)
    monkeypatch.setattr(plugin_module, "servers", Servers(FakeServer, FakeServer))
    return made


def test_the_settings_reach_the_engine(package):
    plugin = NeuralProposerPlugin(NeuralProposer(levels=("child",), batch_size=9, seed=4, weight=0.2), host="node1")
    settings = plugin.julia_plugin()
    assert settings["address"] == "unix:/somewhere/node1"
    assert settings["token"] == "secret"
    assert settings["levels"] == ["child"]
    assert (settings["batch_size"], settings["seed"], settings["weight"]) == (9, 4, 0.2)
    assert settings["session"] == plugin.session
    assert settings["verbose"] is True
    assert NeuralProposerPlugin("default", verbose=False).julia_plugin()["verbose"] is False
    report = plugin.report()
    assert report.calls == 2
    assert report.engine == "PySR 2.7.2"


def test_data_in_double_precision_reach_the_engine_as_given_and_are_forgotten(package):
    X, y = np.arange(6.0).reshape(3, 2) + 1e-12, np.arange(3.0)
    plugin = NeuralProposerPlugin("default")
    with plugin.on_data(X, y):
        plugin.julia_plugin()
        columns, targets = package.kept[plugin.session]
        np.testing.assert_array_equal(columns, X.T)
        np.testing.assert_array_equal(targets, y[None])
    assert package.kept == {}
    with plugin.on_data(X, np.stack([y, y], axis=1)):
        plugin.julia_plugin()
        assert package.kept[plugin.session][1].shape == (2, 3)
    for other in (X.astype(np.float32), X.astype(complex), X.astype(int)):
        with plugin.on_data(other, y):
            plugin.julia_plugin()
            assert package.kept == {}


def test_data_are_forgotten_when_a_search_fails(package):
    plugin = NeuralProposerPlugin("default")

    def fail():
        with plugin.on_data(np.ones((3, 1)), np.ones(3)):
            plugin.julia_plugin()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert package.kept == {}


def test_every_search_has_a_session_of_its_own(package):
    plugin = NeuralProposerPlugin("default")
    assert plugin.julia_plugin()["session"] != plugin.julia_plugin()["session"]


def test_recording_starts_no_server(package, monkeypatch):
    def fail(*_):
        raise AssertionError("started")

    monkeypatch.setattr(plugin_module, "servers", Servers(fail, fail))
    settings = NeuralProposerPlugin(NeuralProposer(levels=())).julia_plugin()
    assert settings["address"] == ""
    assert settings["levels"] == []


def test_looking_ahead_starts_no_server_and_brings_its_weights(package, monkeypatch):
    def fail(*_):
        raise AssertionError("started")

    monkeypatch.setattr(plugin_module, "servers", Servers(fail, fail))
    settings = NeuralProposerPlugin(NeuralProposer(levels=("foresight",))).julia_plugin()
    assert settings["address"] == ""
    assert settings["levels"] == ["foresight"]
    assert settings["foresight"] == native.load().tolist()
    assert NeuralProposerPlugin(NeuralProposer(levels=())).julia_plugin()["foresight"] == ()
    untrained = NeuralProposerPlugin(NeuralProposer(levels=("foresight",)), foresight=(), foresight_share=0.4)
    assert (untrained.julia_plugin()["foresight"], untrained.julia_plugin()["foresight_share"]) == ((), 0.4)


def test_a_plugin_needs_a_proposer():
    with pytest.raises(ConfigError, match="leave the plugin out"):
        NeuralProposerPlugin(None)
    with pytest.raises(ConfigError, match="neural_proposer must be"):
        NeuralProposerPlugin(3)
