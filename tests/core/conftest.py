"""A small random model for tests: what is tested here does not depend on training."""

import pytest
import torch

from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel

SMALL = {"width": 32, "heads": 2, "layers": 2, "feedforward": 48, "latents": 4, "encoder_layers": 1, "probes": True}


@pytest.fixture(scope="session")
def small_model() -> ProposerModel:
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = ProposerModel(ProposerConfig(**SMALL)).eval()
    torch.random.set_rng_state(state)
    return model
