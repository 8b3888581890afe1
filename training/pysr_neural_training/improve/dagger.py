"""`pysr-neural improve dagger`: learns what an expert would have answered in the states that the policy visits.

Owns: which visited states are labelled, the aggregate of all rounds.  Does not own: experts (`relabel`), the loop
(`rounds`).

After Ross, Gordon and Bagnell (AISTATS 2011), with these deviations: the first policy is the checkpoint, so that no
round mixes the expert's own actions in; each round goes on from the last round's weights instead of from scratch; and a
state whose expert cannot improve it teaches nothing instead of "do nothing".  States are those that the policy itself
was shown, never those of an expert's own searches.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.model.policy import ProposerModel
from pysr_neural.rng import generator
from pysr_neural_training.improve.config import DaggerConfig
from pysr_neural_training.improve.episodes import Episode, Planned
from pysr_neural_training.improve.lessons import Lesson, examples_of, fine_tune, load_examples, save_examples
from pysr_neural_training.improve.relabel import State, label
from pysr_neural_training.improve.rounds import main_of
from pysr_neural_training.improve.traced import record, states_of_trace


class Dagger:
    """Dataset aggregation.

    Parameters
    ----------
    config : DaggerConfig
    """

    name = "dagger"

    def __init__(self, config: DaggerConfig) -> None:
        self._config = config

    @property
    def config(self) -> DaggerConfig:
        """Its settings."""
        return self._config

    def learn(self, model: ProposerModel, episodes: Sequence[Episode], number: int, part: Path) -> dict[str, Any]:
        """Label visited states, add them to those of earlier rounds, and train on all."""
        rng = generator(self.config.seed, "labels", number)
        states = states_of(episodes, self.config.states, rng)
        if self.config.engine != "basic":
            states += self._recorded(episodes, part.parent / f"round-{number - 1:03d}" / "model", part, rng)
        lessons, skipped = lessons_of(states, self.config, rng)
        examples, weights, unfit = examples_of(model, lessons)
        save_examples(part / "examples.npz", examples, weights)
        for earlier in range(1, number):
            more, their_weights = load_examples(part.parent / f"round-{earlier:03d}" / "examples.npz")
            examples, weights = examples + more, weights + their_weights
        return {**fine_tune(model, examples, weights, self.config, number), "not_improved": skipped, "unfit": unfit}

    def _recorded(self, episodes: Sequence[Episode], policy: Path, part: Path, rng: np.random.Generator) -> list[State]:
        """Search the same problems with the other engine, and return states of these searches."""
        searches = [Planned(episode.given, episode.number, episode.seed) for episode in episodes]
        trace = record(searches, str(policy), self.config, part / "trace", self.config.engine)
        return states_of_trace(trace, self.config.states, rng)[0]


def lessons_of(states: Sequence[State], config: DaggerConfig, rng: np.random.Generator) -> tuple[list[Lesson], int]:
    """Label states; returns the lessons, and how many states the expert could not improve."""
    lessons: list[Lesson] = []
    skipped = 0
    for state in states:
        found = label(state, config, rng)
        if found is None:
            skipped += 1
        else:
            lessons.append(Lesson(state.problem, state.request, 0, found.tree, found.kind))
    return lessons, skipped


def states_of(episodes: Sequence[Episode], count: int, rng: np.random.Generator) -> list[State]:
    """Choose up to ``count`` visited states of each search, at random among those with a population."""
    states = []
    for episode in episodes:
        visited = [visit.request for visit in episode.visits if visit.request.members]
        chosen = rng.permutation(len(visited))[:count]
        states += [State(episode.given.problem, visited[i], episode.given.tree) for i in sorted(chosen.tolist())]
    return states


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return main_of("dagger", DaggerConfig(), Dagger, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    raise SystemExit(main())
