"""Recipes with judges of every kind: what is accepted, and what is refused with a reason and a remedy."""

from __future__ import annotations

import pytest

from o1kit.config import public
from o1kit.plan import compile_recipe, computed
from o1kit.recipe.loader import recipe_from
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import parse
from tests.recipe.test_loader import GOOD, fails

TWO = GOOD.replace(
    "  - kind: ppo\n",
    "  - {kind: prm, name: other, policy: sft, objective: {kind: KIND}, labels: LABELS}\n  - kind: ppo\n",
)
TWO = TWO.replace("LABELS", "{kind: monte_carlo, chains: 2}")
REWARD = """reward:
      kind: mixture
      of:
        - {kind: verifier}
        - {kind: prm, model: prm, weight: 0.5}
"""
SERVED = GOOD.replace("engine: {max_batch: 8}", "engine: {kind: http, endpoints: [http://h:1]}")
SERVED = SERVED.replace("policies: [sft, ppo]", "policies: [ppo]")


def recipe(text: str) -> Recipe:
    return recipe_from(parse(text, "r.yaml"))


def judged(judge: str, search: str = "{kind: best_of_n, num_samples: 4}", text: str = GOOD) -> str:
    """The recipe with another judge, and another search, in its evaluation."""
    text = text.replace("judge: prm\n    searches", f"judge: {judge}\n    searches")
    return text.replace("{kind: best_of_n, num_samples: 4}", search)


def paid(reward: str, text: str = GOOD) -> str:
    """The recipe with another reward for PPO."""
    return text.replace(REWARD, f"reward: {reward}\n")


ALL = [
    "{kind: prm, model: prm}",
    "{kind: orm, model: other}",
    "{kind: pairwise, model: other, anchors: 2}",
    "{kind: confidence, top: 3}",
    "{kind: verifier}",
    "{kind: likelihood, model: sft, tokens: product}",
    "{kind: self_score, model: sft, samples: 3, suppress_above: 90.0}",
    "{kind: judge, model: model, rubric: 'Is {chain} right for {problem}?'}",
    "{kind: judge, reply: {kind: number, low: 1.0, high: 5.0}, level: step}",
    "{kind: constitution, principles: [Be brief., Be right.], critique_tokens: 20}",
    "{kind: mixture, of: [{kind: prm, model: prm, weight: 2.0}, {kind: confidence}]}",
]


@pytest.mark.parametrize("section", ALL)
def test_every_kind_judges_and_pays(section: str) -> None:
    text = TWO.replace("KIND", "pairwise" if "pairwise" in section else "orm" if "orm" in section else "prm")
    found = recipe(paid(section, judged(section, text=text)))
    named = {name for name in ("prm", "other") if f"model: {name}" in section}
    plan = {stage.name: set(stage.inputs) for stage in compile_recipe(found).stages}
    assert plan["ppo"] == named | {"sft", "prm"}, "prm judges its search"
    assert plan["eval"] == named | {"sft", "ppo"}


@pytest.mark.parametrize(
    ("judge", "search", "place", "words"),
    [
        ("{kind: value_head}", None, "judge", "only ppo stages have a value head, and 'sft' is of kind sft"),
        ("{kind: confidence, weight: 2.0}", None, "judge.weight", "counts among several rewards only. Leave it out"),
        ("{kind: constitution, principles: [x], pays: penalty}", None, "judge.pays", "a search needs a score"),
        (
            "{kind: orm, model: prm}",
            None,
            "judge.kind",
            "stage 'prm' trains a reward model of kind prm. Write `kind: prm`",
        ),
        ("{kind: likelihood, model: stf}", None, "judge.model", "there is no stage 'stf'. Did you mean 'sft'?"),
        ("{kind: prm, model: pmr}", None, "judge.model", "there is no stage 'pmr'. Did you mean 'prm'?"),
        ("{kind: prm, model: sft}", None, "judge.model", "stage 'sft' is of kind sft, prm is needed"),
        ("{kind: judge, model: prm}", None, "judge.model", "stage 'prm' is of kind prm, sft or ppo"),
        ("{kind: prn, model: prm}", None, "judge.kind", "unknown kind 'prn'. Did you mean 'prm'?"),
        ("{kind: prm, modle: prm}", None, "judge.modle", "unknown key 'modle'. Did you mean 'model'?"),
        ("{model: prm}", None, "judge", "needs a `kind`. Choose one of: verifier, prm, orm"),
        ("Prm", None, "judge", "string should match pattern"),
        (
            "{kind: judge, rubric: no places}",
            None,
            "judge.rubric",
            "has no place for {problem}. Write {problem} and {chain}",
        ),
        ("{kind: judge, reply: {kind: labels, good: Nice, bad: No}}", None, "judge.reply", "begin alike"),
        ("{kind: judge, reply: {kind: number, low: 5.0, high: 1.0}}", None, "judge.reply", "`low` must be less"),
        ("{kind: constitution, principles: [x, x]}", None, "judge.principles", "listed twice"),
        ("{kind: constitution, principles: []}", None, "judge.principles", "at least 1 item"),
        (
            "{kind: constitution, principles: [x], critique_prompt: '{problem} {chain} {principle}'}",
            None,
            "judge",
            "is never used while `critique_tokens` is 0",
        ),
        (
            "{kind: judge}",
            "{kind: best_of_n, aggregate: prod}",
            "searches[0].aggregate",
            "gives every step of a chain the",
        ),
        (
            "other",
            "{kind: beam, aggregate: prod}",
            "searches[0].aggregate",
            "Use `aggregate: last`, or a judge of steps",
        ),
        (
            "{kind: mixture, of: [{kind: orm, model: other}, {kind: self_score}]}",
            "{kind: self_refine, algorithm: {kind: mctsr, score: {kind: judge, aggregate: prod}}}",
            "searches[0].aggregate",
            "a product of these grows",
        ),
        (
            "prm",
            "{kind: mcts, unit: {kind: tokens}}",
            "searches[0]",
            "trained at the ends of steps, and this search ends",
        ),
    ],
)
def test_what_is_refused(judge: str, search: str | None, place: str, words: str) -> None:
    message = fails(judged(judge, *([search] if search else []), text=TWO.replace("KIND", "orm")))
    assert f"stages[4].{place}: " in message and words in message, message


@pytest.mark.parametrize(
    ("search", "place", "words"),
    [
        ("{kind: best_of_n, adaptive: {kind: certain}}", "adaptive", "are ranked among one another when all are drawn"),
        ("{kind: best_of_n, aggregate: last}", "aggregate", "compares whole chains"),
    ],
)
def test_ranks_are_known_at_the_end_only(search: str, place: str, words: str) -> None:
    text = TWO.replace("KIND", "pairwise")
    message = fails(judged("other", search, text))
    assert f"stages[4].searches[0].{place}: " in message and words in message
    recipe(judged("prm", search, text))
    recipe(judged("other", "{kind: best_of_n, select: majority, adaptive: {kind: certain}}", text))


def test_what_asks_about_texts_may_judge_anywhere() -> None:
    for judge in ("{kind: judge}", "{kind: self_score}", "{kind: confidence}"):
        recipe(judged(judge, "{kind: mcts, unit: {kind: tokens}}"))
    recipe(judged("{kind: judge, level: step}", "{kind: best_of_n, aggregate: prod}"))
    recipe(judged("{kind: value_head}").replace("policies: [sft, ppo]", "policies: [ppo]"))


def test_what_ppo_cannot_be_paid_with() -> None:
    assert "stages[2].reward.kind: stage 'prm' trains a reward model of kind prm" in fails(
        paid("{kind: orm, model: prm}")
    )
    recipe(paid("{kind: constitution, principles: [x], pays: penalty}"))
    recipe(paid("{kind: value_head, weight: 0.5}"))
    message = fails(paid("{kind: value_head}", SERVED))
    assert "stages[2].reward: a completions server has no value head. Use another kind" in message
    cut = GOOD.replace("{kind: mcts, num_simulations: 4}", "{kind: mcts, unit: {kind: tokens}, leaf_value: confidence}")
    assert "ends actions anywhere" in fails(paid("{kind: orm, model: other}", cut))
    recipe(paid("{kind: judge}", cut))


THERE = "{kind: judge, engine: {kind: http, endpoints: [http://h:1/v1]}}"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("http://h:1/v1", "http://other:2/v1", True),
        ("[http://h:1/v1]", "[http://h:1/v1], timeout_s: 5.0, api_key_env: KEY", True),
        ("[http://h:1/v1]", "[http://h:1/v1], model: other", False),
        ("[http://h:1/v1]", "[http://h:1/v1], tokenizer: some/model", False),
        (", engine: {kind: http, endpoints: [http://h:1/v1]}", "", False),
    ],
)
def test_which_model_a_judges_servers_hold_changes_results_and_where_they_are_does_not(
    old: str, new: str, same: bool
) -> None:
    for text in (THERE, f"{{kind: mixture, of: [{THERE}]}}"):
        before, after = (compile_recipe(recipe(judged(t))).stages[-1] for t in (text, text.replace(old, new)))
        assert (before.fingerprint == after.fingerprint) is same


def test_a_judge_without_servers_is_named_as_before_there_were_any() -> None:
    stage = recipe(judged("{kind: judge}")).stages[-1]
    assert "engine" in public(stage)["judge"] and "engine" not in computed(stage, public(stage))["judge"]


def test_servers_of_a_judge_have_one_tokenizer() -> None:
    text = judged(THERE.replace("kind: judge,", "kind: judge, model: sft,"))
    assert "sft" in compile_recipe(recipe(text)).stages[-1].inputs
    message = fails(text.replace("kind: http", "kind: http, tokenizer: some/model"))
    assert "`model` and `engine.tokenizer` both say which tokenizer the servers have: remove one" in message


def test_a_server_holds_no_value_head_to_judge_with() -> None:
    assert "stages[3].judge: a completions server has no value head" in fails(judged("{kind: value_head}", text=SERVED))
    recipe(judged("{kind: judge}", text=SERVED))
