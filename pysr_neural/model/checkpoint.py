"""Finding and loading checkpoints: safetensors only, refusals that say why.

Owns: names such as ``"default"``, paths and hub ids; the checks before weights are used.  Does not own: the model.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pysr_neural.config import BUNDLED, DEFAULT, POLICY, bundled_in_words
from pysr_neural.errors import CheckpointError, did_you_mean
from pysr_neural.wire.codes import WIRE_VERSION
from pysr_neural.wire.vocabulary import VOCABULARY_HASH

if TYPE_CHECKING:
    from pysr_neural.model.policy import ProposerModel

MODEL_TYPE = "pysr_neural_proposer"
"""`ProposerConfig.model_type`; here, so that `resolve` needs neither torch nor transformers."""
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def resolve(name: str | os.PathLike[str]) -> Path:
    """Find a checkpoint's directory and check what can be checked without loading weights.

    Parameters
    ----------
    name : str or path
        ``"default"``, a directory, or a hub id ``owner/name``; a path object is a directory.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it is a policy of actions, a pickle, incomplete, foreign, or of another
        vocabulary.
    """
    if not isinstance(name, str | os.PathLike):
        raise CheckpointError(f"A checkpoint must be named by a text or a path; got {name!r}.")
    path = Path(__file__).parents[1] / "checkpoints" / DEFAULT if name == DEFAULT else Path(name).expanduser()
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"A checkpoint must be a directory with {WEIGHTS}; got the pickle {path.name!r}. Pickles "
            "can run code when loaded, so they are never read. Re-save with save_pretrained()."
        )
    if not path.exists():
        if name == POLICY:
            raise CheckpointError(
                f"A transformer's checkpoint is needed here; {name!r} is a policy of actions, for "
                f"BasicSR(proposer=...) alone. Give {DEFAULT!r}, a directory or a hub id 'owner/name'."
            )
        if isinstance(name, str) and name.count("/") == 1 and not name.startswith((".", "/", "~")):
            return _from_hub(name)
        raise CheckpointError(
            f"A checkpoint must be {bundled_in_words()}, a directory or a hub id 'owner/name'; got {str(name)!r}, "
            f"which does not exist.{did_you_mean(str(name), BUNDLED)}"
        )
    _check_files(path)
    return path


def load(name: str | os.PathLike[str]) -> "ProposerModel":
    """Load a checkpoint for inference.

    Parameters
    ----------
    name : str or path
        See `resolve`.

    Returns
    -------
    ProposerModel
        In evaluation mode, on the CPU, in single precision.

    Raises
    ------
    CheckpointError
        See `resolve`; also if the weights are truncated or do not fit the configuration.
    """
    path = resolve(name)  # Before torch is imported, which takes seconds.
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from pysr_neural.model.config import ProposerConfig
    from pysr_neural.model.policy import ProposerModel

    try:
        config = ProposerConfig.from_pretrained(path)
        model = ProposerModel(config)
        weights = load_file(path / WEIGHTS)
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {path} must be readable; got: {error}. Download or save it again."
        ) from error
    expected = {key: value.shape for key, value in model.state_dict().items()}
    found = {key: value.shape for key, value in weights.items()}
    if expected != found:
        differing = sorted(set(expected.items()) ^ set(found.items()))
        raise CheckpointError(
            f"The weights of {path} must fit its configuration; got a difference at "
            f"{differing[0][0]!r} and {len(differing) - 1} more."
        )
    model.load_state_dict(weights)
    return model.eval()


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        path = Path(snapshot_download(name, allow_patterns=[WEIGHTS, "*.json", "*.md"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise CheckpointError(f"{name!r} is no local directory, and the hub did not give it: {error}") from error
    _check_files(path)
    return path


def _check_files(path: Path) -> None:
    if not path.is_dir():
        raise CheckpointError(f"A checkpoint must be a directory; got the file {path}.")
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in PICKLES)
    if not (path / WEIGHTS).is_file():
        reason = f"only the pickle {pickles[0]!r}, which is never read" if pickles else f"no {WEIGHTS}"
        raise CheckpointError(f"A checkpoint must hold {WEIGHTS}; {path} has {reason}. Re-save with save_pretrained().")
    _check_complete(path / WEIGHTS)
    try:
        config = json.loads((path / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"A checkpoint must hold a readable {CONFIG}; got: {error}") from error
    if config.get("model_type") != MODEL_TYPE:
        raise CheckpointError(
            f"The checkpoint's model_type must be {MODEL_TYPE!r}; got "
            f"{config.get('model_type')!r}: {path} belongs to another program."
        )
    if config.get("wire_version") != WIRE_VERSION or config.get("vocabulary_hash") != VOCABULARY_HASH:
        raise CheckpointError(
            f"The checkpoint's vocabulary must be {VOCABULARY_HASH} (wire {WIRE_VERSION}); got "
            f"{config.get('vocabulary_hash')} (wire {config.get('wire_version')}). Train it again, or install the "
            "version of pysr_neural that it was made with."
        )


def _check_complete(weights: Path) -> None:
    """Compare the file's size with what its header announces, without reading the weights."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The weights {weights} must be a complete safetensors file; got: {error}. Download or save it again."
        ) from error
