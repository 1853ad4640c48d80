"""Recipes with self-refinement: what is accepted, and what is refused with a reason."""

from __future__ import annotations

import pytest

from o1kit.plan import compile_recipe
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD, fails


def with_search(section: str) -> str:
    return GOOD.replace("- kind: greedy", f"- {{kind: self_refine, {section}}}")


@pytest.mark.parametrize(
    ("section", "title", "models"),
    [
        ("algorithm: {kind: mctsr}", "mctsr 8x3 self_score", ()),
        ("algorithm: {kind: mctsr, score: {kind: judge}, pick: sampled}", "mctsr 8x3 prm (sampled)", ()),
        ("algorithm: {kind: sr_mcts}, critic: sft", "sr_mcts 8x2 pairwise, critic sft", ("sft",)),
        ("algorithm: {kind: sr_mcts, score: {kind: pairwise, model: ppo}}, critic: ppo", None, ("ppo",)),
        ("algorithm: {kind: sr_mcts, score: {kind: pairwise, model: model}}, critic: sft", None, ("sft", "model")),
        ("algorithm: {kind: sr_mcts, score: {kind: judge}}", "sr_mcts 8x2 prm", ()),
        ('critique_prompt: "Find $x^{2}$ in {problem}: {answer} {}"', "mctsr 8x3 self_score", ()),
    ],
)
def test_what_is_accepted(section: str, title: str | None, models: tuple[str, ...]) -> None:
    recipe = recipe_from(parse(with_search(section), "r.yaml"))
    search = recipe.stages[3].searches[1]
    assert search.title.startswith(title or "")
    assert search.models == models
    assert search.oracle is False and search.judge == ("judge" if "kind: judge" in section else None)
    assert compile_recipe(recipe).stages[3].inputs


def test_the_oracle_flag_is_in_the_name_of_the_row() -> None:
    from o1kit.stages.evaluate.module import label

    recipe = recipe_from(parse(with_search("algorithm: {kind: mctsr, stop_when_correct: true}"), "r.yaml"))
    assert label(recipe.stages[3].searches[1]) == "mctsr 8x3 self_score oracle"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("algorithm: {kind: mctsr, score: {kind: pairwise}}", "a preference between two answers is no mark"),
        ("algorithm: {kind: sr_mcts, score: {kind: self_score}}", "a model's mark for its own answer is none"),
        ("algorithm: {kind: mctsr, score: {kind: self_score, suppress_above: 40.0}}", "would be raised to 50"),
        ('critique_prompt: "{answer}"', "has no place for {problem}. Write {problem} and {answer} where"),
        ('critique_prompt: "{problem} {answer} {critique}"', "nothing to put into {critique}. The places of this"),
        ('rewrite_prompt: "{problem} {answer}"', "has no place for {critique}"),
        ('algorithm: {kind: sr_mcts, score: {kind: pairwise, prompt: "{first} {second}"}}', "no place for {problem}"),
        ('algorithm: {kind: mctsr, score: {kind: self_score, prompt: "{problem} {anser}"}}', "put into {anser}"),
        ("critic: stf", "there is no stage 'stf'. Did you mean 'sft'?"),
        ("critic: prm", "stage 'prm' is of kind prm, sft or ppo or dpo is needed"),
        ("algorithm: {kind: mctrs}", "unknown kind 'mctrs'. Did you mean 'mctsr'?"),
        ("algorithm: {kind: mctsr, alpha: 0.9}", "unknown key 'alpha'"),
        ("algorithm: {kind: mctsr, backup: root}", "unknown backup 'root'"),
    ],
)
def test_what_is_refused(section: str, words: str) -> None:
    message = fails(with_search(section))
    assert words in message
    assert "r.yaml:44:" in next(row for row in message.splitlines() if words in row)


@pytest.mark.parametrize(("kind", "remedy"), [("mctsr", "self_score"), ("sr_mcts", "pairwise")])
def test_a_judge_that_the_stage_lacks(kind: str, remedy: str) -> None:
    text = with_search(f"algorithm: {{kind: {kind}, score: {{kind: judge}}}}")
    text = text.replace("    judge: prm\n    searches", "    searches").replace(
        "{kind: best_of_n, num_samples: 4}", "kind: greedy"
    )
    assert f"or `score: {{kind: {remedy}}}` here" in fails(text)


def test_ppo_learns_from_its_own_rewrites_only() -> None:
    mine = GOOD.replace("{kind: mcts, num_simulations: 4}", "{kind: self_refine}")
    assert recipe_from(parse(mine, "r.yaml")).stages[2].search.kind == "self_refine"
    message = fails(GOOD.replace("{kind: mcts, num_simulations: 4}", "{kind: self_refine, critic: sft}"))
    assert "PPO learns from its own policy's samples" in message


def test_a_server_has_no_second_model() -> None:
    text = with_search("critic: sft").replace("engine: {max_batch: 8}", "engine: {kind: http, endpoints: [http://h:1]}")
    assert "an http engine serves one model, and this search also uses sft" in fails(text)
