"""`pysr-neural interpret`: what a checkpoint prefers in which search state, or believes about a file of data.

Owns: the command: arguments, order of steps, files.  Does not own: states, preferences, beliefs, pages, static form.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError
from pysr_neural.proposer.base import Proposer
from pysr_neural_baseline.fitting.engines import DEFAULT_OPERATORS
from pysr_neural_training.interpret.distil import Distilled, distil
from pysr_neural_training.interpret.export import check_target, export, to_json
from pysr_neural_training.interpret.pages import markdown, summary, terminal
from pysr_neural_training.interpret.preferences import GroupPreference, Preference, ask, by_group
from pysr_neural_training.interpret.states import GROUPS, SearchState, collect

BELIEFS, BELIEVED = "beliefs.md", "beliefs.png"
PAGE, PICTURE, STATIC, PYSR = "preferences.md", "preferences.png", "distilled.json", "pysr.json"


@dataclass(frozen=True, eq=False)
class Interpretation:
    """Everything that was found out about a policy.

    Parameters
    ----------
    states : list of SearchState
    preferences : list of Preference
        One per state.
    groups : mapping of str to GroupPreference
    distilled : Distilled
    """

    states: list[SearchState]
    preferences: list[Preference]
    groups: dict[str, GroupPreference]
    distilled: Distilled


def interpret(
    name: str, proposer: Proposer, problems: int, generations: int, children: int, seed: int
) -> Interpretation:
    """Collect search states on held-out problems, ask a policy in each, average.

    Parameters
    ----------
    name : str
        Of the policy.
    proposer : Proposer
    problems, generations, children : int
        Problems, generations of each search, expressions sampled per state; each at least 1.
    seed : int

    Raises
    ------
    ConfigError
        If a number is too small.
    """
    for label, value in (("problems", problems), ("generations", generations), ("children", children)):
        whole(f"--{label}", value, 1)
    states = collect(problems, generations, proposer, seed)
    preferences = ask(proposer, states, children, seed=seed)
    groups = by_group(states, preferences, GROUPS)
    return Interpretation(states, preferences, groups, distil(name, states, preferences))


def write(found: Interpretation, out: Path, command: str) -> None:
    """Write the page, the picture and the two JSON files into a directory, made if missing.

    Raises
    ------
    ConfigError
        If the directory cannot be written.
    """
    from pysr_neural_training.interpret.pictures import draw

    with _writing(out):
        draw(out / PICTURE, found.groups, found.states, found.preferences)
        for name, text in (
            (PAGE, markdown(found.groups, found.distilled, command, PICTURE)),
            (STATIC, found.distilled.to_json() + "\n"),
            (PYSR, to_json(found.distilled) + "\n"),
        ):
            (out / name).write_text(text, encoding="utf-8")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Make a directory if it is missing; refuse one in which nothing can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(f"--out must be a directory that can be written; got {out}: {error}.") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural interpret", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "checkpoint",
        nargs="?",
        default="default",
        help="'default', a directory or a hub id, or a policy's safetensors file",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="CSV, TSV or Parquet: print what the checkpoint believes about these data, beside what tests on them say",
    )
    parser.add_argument("--target", help="with --data: the column to be explained")
    parser.add_argument("--columns", help="with --data: those that may explain it, with commas between; default: all")
    parser.add_argument(
        "--operators", default=DEFAULT_OPERATORS, help="with --data: with commas between (default %(default)s)"
    )
    parser.add_argument("--beside", type=Path, help="another policy's safetensors file, where one is interpreted")
    parser.add_argument("--out", type=Path, help=f"directory for {PAGE} and what belongs to it, or {BELIEFS}")
    parser.add_argument("--export", metavar="TARGET", help="print the static form for 'pysr' instead of the table")
    parser.add_argument("--problems", type=int, default=16, help="held-out problems, each searched twice")
    parser.add_argument("--generations", type=int, default=40, help="of each search")
    parser.add_argument("--children", type=int, default=16, help="expressions sampled per state")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    if options.export is not None:
        check_target(options.export)
    given = shlex.join(["pysr-neural", "interpret", *(sys.argv[1:] if argv is None else argv)])
    if options.checkpoint.endswith(".safetensors"):
        return _decisions(options, given)
    if options.data is not None:
        return _beliefs(options, given)
    from pysr_neural.proposer.neural.transformer import TransformerProposer

    proposer = TransformerProposer.from_checkpoint(options.checkpoint)
    name = Path(options.checkpoint).name
    found = interpret(name, proposer, options.problems, options.generations, options.children, options.seed)
    if options.out is not None:
        write(found, options.out, given)
    if options.export is not None:
        print(export(options.export, found.distilled))
        return 0
    print(terminal(found.groups, found.distilled))
    if options.out is not None:
        print(f"Written to {options.out}: {PAGE}, {PICTURE}, {STATIC}, {PYSR}.")
    if options.json:
        print(
            json.dumps({**summary(found.groups, found.distilled), "distilled": json.loads(found.distilled.to_json())})
        )
    return 0


def _beliefs(options: argparse.Namespace, given: str) -> int:
    from pysr_neural.proposer.neural.transformer import TransformerProposer
    from pysr_neural_baseline.fitting.engines import operators_of
    from pysr_neural_baseline.fitting.judging import judged
    from pysr_neural_baseline.fitting.tables import listed, read_table
    from pysr_neural_training.interpret import beliefs

    if options.target is None:
        raise ConfigError("--data needs --target, the column to be explained; got none.")
    columns = None if options.columns is None else listed(options.columns)
    judgement = judged(read_table(options.data), options.target, columns)
    for note in judgement.notes:
        print(f"note: {note}", file=sys.stderr)
    data, operators = judgement.data, operators_of(listed(options.operators))
    proposer = TransformerProposer.from_checkpoint(options.checkpoint)
    found = beliefs.beliefs(proposer, data.X, data.y, data.features, operators, seed=options.seed)
    if options.out is not None:
        with _writing(options.out):
            beliefs.draw(options.out / BELIEVED, found)
            (options.out / BELIEFS).write_text(beliefs.page(found, given, BELIEVED), encoding="utf-8")
    print(beliefs.page(found, given))
    if options.out is not None:
        print(f"Written to {options.out}: {BELIEFS}, {BELIEVED}.")
    if options.json:
        print(json.dumps(found.to_dict()))
    return 0


def _decisions(options: argparse.Namespace, given: str) -> int:
    from pysr_neural.proposer.policy.network import PolicyNetwork
    from pysr_neural_training.interpret import decisions

    files = [Path(options.checkpoint), *([options.beside] if options.beside else [])]
    names = [file.parent.name if file.stem == "policy" else file.stem for file in files]
    if len(set(names)) < len(names):
        raise ConfigError(f"Policies are told apart by the names of their files or folders; got {names[0]!r} twice.")
    policies = {name: PolicyNetwork.load(file) for name, file in zip(names, files, strict=True)}
    out = options.out or Path("outputs/decisions")
    found = decisions.write(policies, options.problems, options.children, options.seed, out, given)
    print((out / decisions.PAGE).read_text(encoding="utf-8"))
    print(f"Written to {out}: {decisions.PAGE}, {decisions.PICTURE}.")
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
