"""The directory of a run, the same for `train` and `improve`: whose it is, what it measured, what it leaves behind.

Owns: the files below, and who may go on with a run.  Does not own: how far a killed run came (`resume`,
`pysr_neural_training.improve.round_folders`), what is measured.

``config.json``    format, command and resolved configuration; a run goes on only with the same ones
``metrics.jsonl``  what was measured, a record per line
``model/``         what the run has to show: a plain checkpoint with its ``card.json``
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from pysr_neural.errors import ConfigError
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire.vocabulary import VOCABULARY_HASH

FORMAT = 1
"""Of the directory; another one is refused."""
CONFIG = "config.json"
METRICS = "metrics.jsonl"
MODEL = "model"
CARD = "card.json"
Record = dict[str, Any]


class Settings(Protocol):
    """A configuration: a frozen dataclass, perhaps of others, whose values all have defaults."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def seed(self) -> int:
        """Of the run."""
        ...


@dataclass(frozen=True)
class RunDirectory:
    """One run's files.

    Parameters
    ----------
    path : Path
    command : str
        What follows ``pysr-neural``: ``"train"``, ``"improve dagger"``.
    config : Settings
    free : tuple of str
        Settings, or sections of them, that a run may change when it goes on: nothing so far depends on them.
    """

    path: Path
    command: str
    config: Settings
    free: tuple[str, ...] = ()

    @property
    def model(self) -> Path:
        """The finished checkpoint, which need not be there yet."""
        return self.path / MODEL

    def claim(self, begun: bool) -> None:
        """Make the directory and write whose it is, or check that it is this run's.

        Parameters
        ----------
        begun : bool
            Whether something is there that depends on the settings; if not, they may change.

        Raises
        ------
        ConfigError
            If the directory holds a run of another format or command, or one that has begun with other settings.
        """
        file = self.path / CONFIG
        if file.exists():
            differing = list(self._differences(self._recorded(file)))
            if begun and differing:
                raise ConfigError(
                    f"A run goes on with the settings that it was begun with; {self.path} has {'; '.join(differing)}. "
                    f"{self._elsewhere()}, or the same settings."
                )
        self.path.mkdir(parents=True, exist_ok=True)
        written = {"format": FORMAT, "command": self.command, "config": asdict(self.config)}
        replace_file(file, json.dumps(written, indent=1) + "\n")

    def records(self) -> list[Record]:
        """Return what was measured; a last line that a killed process left unfinished does not count.

        Raises
        ------
        ConfigError
            If another line is no JSON.
        """
        file = self.path / METRICS
        text = file.read_text() if file.exists() else ""
        try:
            return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        except ValueError as error:
            raise ConfigError(f"{file} must hold a record per line; got: {error}. {self._elsewhere()}.") from error

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Append what was measured."""
        with (self.path / METRICS).open("a") as file:
            file.write(json.dumps(record) + "\n")

    def replace_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write all records anew."""
        replace_file(self.path / METRICS, "".join(json.dumps(record) + "\n" for record in records))

    def write_checkpoint(
        self, folder: Path, model: ProposerModel, name: str, facts: Mapping[str, Any], metrics: Mapping[str, Any]
    ) -> None:
        """Write a checkpoint with its card.

        Parameters
        ----------
        folder : Path
        model : ProposerModel
        name : str
            What the card calls it.
        facts : mapping
            Steps, examples and the like; a more exact ``command``.
        metrics : mapping
            The last evaluation.
        """
        card = {
            "name": name,
            "command": f"pysr-neural {self.command}",
            "seed": self.config.seed,
            **facts,
            "vocabulary_hash": VOCABULARY_HASH,
            "metrics": dict(metrics),
            "config": asdict(self.config),
            "torch": torch.__version__,
        }
        model.float().save_pretrained(folder, safe_serialization=True)
        (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")

    def finish(self, model: ProposerModel, name: str, facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> Path:
        """Write ``model/`` with its card, see `write_checkpoint`; an earlier one stays until the new one is whole."""
        part = self._part()
        self.write_checkpoint(part, model, name, facts, metrics)
        return self._put_in_place(part)

    def keep(self, checkpoint: Path) -> Path:
        """Copy a checkpoint of this run to ``model/``; an earlier one stays until the copy is whole."""
        return self._put_in_place(shutil.copytree(checkpoint, self._part()))

    def _part(self) -> Path:
        part = self.path / f"{MODEL}.part"
        shutil.rmtree(part, ignore_errors=True)
        return part

    def _put_in_place(self, part: Path) -> Path:
        shutil.rmtree(self.model, ignore_errors=True)
        part.rename(self.model)
        return self.model

    def _recorded(self, file: Path) -> dict[str, Any]:
        """Read the settings of the run that is there."""
        try:
            found = json.loads(file.read_text())
        except ValueError as error:
            raise ConfigError(f"{file} must hold a run's configuration; got: {error}. {self._elsewhere()}.") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ConfigError(
                f"{file} must be of a run as this version writes it, of format {FORMAT}; got {_described(found)}. "
                f"{self._elsewhere()}."
            )
        if found["command"] != self.command:
            raise ConfigError(
                f"{self.path} holds a run of `pysr-neural {found['command']}`, not of `pysr-neural {self.command}`. "
                f"{self._elsewhere()}."
            )
        settings: dict[str, Any] = found["config"]
        return settings

    def _elsewhere(self) -> str:
        """Say what else can be done."""
        if not self.model.exists():
            return "Choose another --out"
        return f'Choose another --out, there perhaps with initial="{self.model}" to go on from these weights'

    def _differences(self, recorded: dict[str, Any]) -> Iterator[str]:
        found = dict(_flat(recorded))
        wanted, usual = (dict(_flat(json.loads(json.dumps(asdict(c))))) for c in (self.config, type(self.config)()))
        for key in (*wanted, *(key for key in found if key not in wanted)):
            value = found.get(key, usual.get(key))  # A run of an older version lacks what is new: it had the default.
            if any(key == free or key.startswith(f"{free}.") for free in self.free):
                continue
            if key not in wanted:
                yield f"{key} = {json.dumps(value)}, which this version does not know"
            elif value != wanted[key]:
                yield f"{key} = {json.dumps(value)}, got {json.dumps(wanted[key])}"


def replace_file(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    written = path.with_name(path.name + ".part")
    written.write_text(text)
    written.replace(path)


def _described(found: Any) -> str:
    if not isinstance(found, dict):
        return "something else"
    if "format" in found:
        return f"format {found['format']!r}"
    if "method" in found or "schedule" in found:
        return "a run of an earlier version"
    return "another program's settings, or a checkpoint's own"


def _flat(values: dict[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield where + key, value
