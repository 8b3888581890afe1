"""Proposers by name: a checkpoint, ``"module:attribute"``, or the settings of neural help.

Owns: `load_proposer`, `proposer_of`.  Does not own: what a user may write (`pysr_neural.config`), checkpoints
(`pysr_neural.model.checkpoint`).
"""

from importlib import import_module

from pysr_neural.config import NeuralProposer, is_policy
from pysr_neural.errors import ConfigError
from pysr_neural.proposer.base import Proposer

TRANSFORMER = "transformer"


def proposer_of(config: NeuralProposer) -> Proposer:
    """Make the proposer that some settings describe, in this process.

    Raises
    ------
    ConfigError, CheckpointError
        As `load_proposer`.
    """
    if config.proposer is not None and not isinstance(config.proposer, str):
        found: Proposer = config.proposer
        return found
    return load_proposer(config.proposer or TRANSFORMER, config.checkpoint, config.device)


def load_proposer(name: str, checkpoint: str, device: str) -> Proposer:
    """Make a proposer out of its name.

    Parameters
    ----------
    name : str
        ``"transformer"``, ``"random"`` (draws from a fixed grammar; needs no torch), or ``"module:attribute"``: a
        proposer, or a class or function without parameters that makes one.
    checkpoint, device : str
        For the transformer; or a policy of actions, see `pysr_neural.config.is_policy`.

    Raises
    ------
    ConfigError
        If the name leads to no proposer.
    CheckpointError
        If the checkpoint is unusable.
    """
    if name == TRANSFORMER and is_policy(checkpoint):
        from pysr_neural.proposer.policy.proposer import DRAWS, PolicyProposer

        return PolicyProposer.from_file(checkpoint, draws=DRAWS)
    if name == TRANSFORMER:
        from pysr_neural.proposer.neural.transformer import TransformerProposer

        return TransformerProposer.from_checkpoint(checkpoint, device)
    if name == "random":
        from pysr_neural.proposer.scripted import RandomProposer

        return RandomProposer()
    module, _, attribute = name.partition(":")
    try:
        found: object = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"A proposer 'module:attribute' must be importable; got {name!r}: {error}.") from error
    made = found() if isinstance(found, type) or (not isinstance(found, Proposer) and callable(found)) else found
    if not isinstance(made, Proposer):
        raise ConfigError(f"A proposer must have a method open(problem); got {made!r} at {name!r}.")
    return made
