import types

import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.interop import plugin as plugin_module
from pysr_neural.interop.plugin import NeuralProposerPlugin
from pysr_neural.interop.process import Servers


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
    made = types.SimpleNamespace(
        NeuralProposerPlugin=lambda **settings: settings, report=lambda session: {"calls": 2, "session": session}
    )
    monkeypatch.setattr(plugin_module.julia, "load_package", lambda: made)
    monkeypatch.setattr(plugin_module.julia, "boot", lambda: types.SimpleNamespace(__version__="2.7.2"))
    monkeypatch.setattr(plugin_module.julia, "vector_of_strings", list)
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


def test_a_plugin_needs_a_proposer():
    with pytest.raises(ConfigError, match="leave the plugin out"):
        NeuralProposerPlugin(None)
    with pytest.raises(ConfigError, match="neural_proposer must be"):
        NeuralProposerPlugin(3)
