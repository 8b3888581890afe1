"""A run of an `improve` command as a picture and as one screen of text.

Owns: ``rounds.png``, ``README.md``.  Does not own: records (`rounds`), files of a run (`round_folders`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pysr_neural_training.improve.round_folders import RoundFolders
from pysr_neural_training.learning.run_dir import Record, replace_file

MEASURES = (("solve rate", "solve_rate"), ("evaluations until solved", "evaluations"))


def write_report(run: RoundFolders, ending: str = "") -> None:
    """Write a run's page from its records, and its picture unless the run has just ended and nothing is new."""
    records = run.records()
    picture = run.path / "rounds.png"
    if not ending or not picture.exists():
        draw(records, picture)
    replace_file(run.path / "README.md", page(run.method, records, ending))


def draw(records: Sequence[Record], path: Path) -> None:
    """Draw solve rate and evaluations by round, on the held-out problems, beside ordinary evolution."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 3), layout="constrained")
    FigureCanvasAgg(figure)
    rounds = [record["round"] for record in records]
    for axes, (label, name) in zip(figure.subplots(1, 2), MEASURES, strict=True):
        axes.plot(rounds, [value_of(record["held_out"], name) for record in records], "o-", label="policy")
        axes.axhline(value_of(records[0]["evolution"], name), color="gray", linestyle="--", label="evolution alone")
        axes.set_xlabel("round")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def draw_policy(records: Sequence[Record], path: Path) -> None:
    """Draw what a policy of actions solves by round, with intervals, and its evaluations, beside BasicSR."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 3), layout="constrained")
    FigureCanvasAgg(figure)
    rounds, basic = [record["round"] for record in records], records[0]["basicsr"]
    for axes, name in zip(figure.subplots(1, 2), ("solved", "evaluations"), strict=True):
        (line,) = axes.plot(rounds, [record[name] for record in records], "o-", label="policy")
        axes.axhline(basic[name], color="gray", linestyle="--", label="BasicSR")
        if name == "solved":
            bounds = [[record[bound] for record in records] for bound in ("low", "high")]
            axes.fill_between(rounds, *bounds, color=line.get_color(), alpha=0.15, lw=0)
        axes.set_xlabel("round")
        axes.set_ylabel("share of held-out problems solved" if name == "solved" else "evaluations of a search")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def value_of(result: dict[str, Any], name: str) -> float:
    """Return a measure of a result."""
    return float(result["solved"] / max(result["searches"], 1) if name == "solve_rate" else result[name])


def page(method: str, records: Sequence[Record], ending: str) -> str:
    """Write the run on one screen."""
    lines = [
        f"# improve {method}",
        "",
        "Held-out problems, the same in every round. Evaluations are means until solution; an unsolved search counts",
        "for its whole budget. Least-squares fits inside the proposer are not among them.",
        "",
        "| round | solved | evaluations | seconds per search | examples | commonest proposal | remarks |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        _row("evolution", records[0]["evolution"], {}),
        *(_row(str(record["round"]), record["held_out"], record) for record in records),
    ]
    best = max(records, key=score)
    lines += ["", f"Best: round {best['round']}, in `model/`. {ending}".rstrip(), "", "![By round](rounds.png)", ""]
    return "\n".join(lines)


def score(record: Record) -> tuple[int, float]:
    """Order rounds: more solved, then fewer evaluations."""
    return record["held_out"]["solved"], -record["held_out"]["evaluations"]


def _row(name: str, result: dict[str, Any], record: Record) -> str:
    learned = record.get("learned", {})
    remarks = ", ".join(
        f"{key} {value}" for key, value in learned.items() if key not in ("examples", "steps") and value
    )
    commonest = f"{record['commonest']:.2f}" if "commonest" in record else "–"
    return (
        f"| {name} | {result['solved']} of {result['searches']} | {result['evaluations']:.0f} | "
        f"{result['seconds']:.2f} | {learned.get('examples', '–')} | {commonest} | {remarks or '–'} |"
    )
