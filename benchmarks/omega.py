"""What a step label costs, by plain Monte Carlo and by OmegaPRM: `python -m benchmarks.omega RUN`.

Labels the same problems with both sources and prints the tokens that were generated for each labelled step. Ends of
chains are labelled for free, by the verifier, so labels within chains are counted apart; and so are those of wrong
chains, among them the places where the first error is known: a step from which the answer is never reached, right after
one from which it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from o1kit.plan import stage_seed
from o1kit.protocols import Artifact, StageInputs
from o1kit.recipe.schema import Recipe
from o1kit.report.label_schema import LabelRecord
from o1kit.stages.labels.config import MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.write import local_desk, write_labels
from o1kit.stages.start import starting_model, suite_of

Source = MonteCarloLabelsConfig | OmegaLabelsConfig


class Cost(NamedTuple):
    """Tokens generated, and what was labelled with them."""

    tokens: int
    records: int
    labels: int
    """Labelled steps, ends of chains included."""
    inner: int
    """Without the ends."""
    in_wrong: int
    """Those within wrong chains."""
    errors: int
    """First errors that are known to the step."""
    positive: float
    """Share of labels of at least one half."""

    def per(self, count: int) -> str:
        """Tokens for each of something."""
        return f"{self.tokens / count:.1f}" if count else "-"


def desk_of(run: Path, recipe_directory: Path, policy: str, name: str) -> Desk:
    """A desk with the model of a finished run's stage; `name` seeds it."""
    written = json.loads((run / "recipe.json").read_text())
    kept = [stage for stage in written["stages"] if stage["name"] == policy]  # others may be of an older format
    recipe = Recipe.model_validate(written | {"stages": kept})
    fingerprint = json.loads((run / policy / "done.json").read_text())["fingerprint"]
    artifact = Artifact(policy, "sft", run / policy, fingerprint)
    config: Any = SimpleNamespace(policy=policy, name=name)
    inputs = StageInputs(config, recipe, recipe_directory, run, {policy: artifact}, stage_seed(recipe.seed, name))
    suite = suite_of(inputs)
    model, template = starting_model(inputs, policy, suite)
    return local_desk(inputs, model, template, suite)


def cost_of(records: Sequence[LabelRecord], tokens: int) -> Cost:
    """The figures of one source."""
    known = [label for record in records for label in record.labels if label is not None]
    inner = [record for record in records for label in record.labels[:-1] if label is not None]
    return Cost(
        tokens,
        len(records),
        len(known),
        len(inner),
        sum(record.correct is False for record in inner),
        sum(map(has_error, records)),
        sum(label >= 0.5 for label in known) / max(len(known), 1),
    )


def has_error(record: LabelRecord) -> bool:
    """Whether a step that never ends right comes right after one that sometimes does (or is the first step)."""
    before = [1.0, *record.labels]
    return any(label == 0 and (one or 0) > 0 for one, label in zip(before, record.labels, strict=False))


def measure(desk: Desk, source: Source) -> Cost:
    """Labels with a source and counts."""
    engine: Any = getattr(desk.policy, "engine")  # noqa: B009
    engine.ledger.take()
    records = write_labels(source, desk, source.kind)
    return cost_of(records, engine.ledger.take().total.generated)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokens for each step label.")
    parser.add_argument("run", type=Path, help="folder of a finished run of recipes/quickstart.yaml")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--policy", default="sft")
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--completions", type=int, nargs="+", default=[1, 4, 8], help="completions of a prefix")
    parser.add_argument("--iterations", type=int, default=8, help="searches of a problem")
    options = parser.parse_args()
    desk = desk_of(options.run, options.recipe_dir, options.policy, "labels")
    print(
        "| source | tokens | labels | tokens a label | within chains | tokens each | in wrong chains | tokens each |",
        end="",
    )
    print(" first errors | tokens each | positive |\n|---|" + "---|" * 10)
    for count in options.completions:
        common = {"num_problems": options.problems, "completions": count}
        omega = {"rollouts": 8, "num_iterations": options.iterations, "length": 50.0}
        sources: list[tuple[str, Source]] = [
            (f"monte_carlo, N = {count}", MonteCarloLabelsConfig(kind="monte_carlo", chains=1, **common)),
            (
                f"omega, k = {count}",
                OmegaLabelsConfig(kind="omega", **omega, **common),
            ),
            (
                f"omega, k = {count}, hard, implied too",
                OmegaLabelsConfig(kind="omega", estimate="hard", labels="implied", **omega, **common),
            ),
        ]
        for title, source in sources:
            c = measure(desk, source)
            cells = [c.tokens, c.labels, c.per(c.labels), c.inner, c.per(c.inner), c.in_wrong, c.per(c.in_wrong)]
            print(f"| {title} | {' | '.join(map(str, cells))} | {c.errors} | {c.per(c.errors)} | {c.positive:.2f} |")


if __name__ == "__main__":
    main()
