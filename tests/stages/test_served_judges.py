"""A judge that is held by a real server: judgements as in this process, its tokens counted, its limits told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.decoding import Decoding
from o1kit.engines.http import HttpEngine
from o1kit.errors import EnvironmentFailure
from o1kit.models.load import save_directory
from o1kit.protocols import Span
from o1kit.rewards.config import JudgeRewardConfig
from o1kit.types import State
from tests.gguf_file import write_gguf
from tests.servers import Server, llama_cpp
from tests.small import LETTERS, RECIPE, built, small
from tests.tiny import tiny

JUDGE: dict[str, Any] = {
    "kind": "judge",
    "rubric": "{problem}{chain}",
    "reply": {"kind": "labels", "good": "a", "bad": "b", "alternatives": 20},
}
FEW = {split: {"num_problems": 1, "sources": [LETTERS]} for split in ("train", "heldout")}
OPTIONS: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """The folder of a policy, and a server that holds it."""
    folder = tmp_path_factory.mktemp("served")
    model, template = tiny(context=300)
    save_directory(model, template.tokenizer, folder / "sft")
    with llama_cpp(write_gguf(model, template.tokenizer, folder / "sft.gguf"), context=300) as server:
        yield folder, server


def stage(served: tuple[Path, Server], folder: Path, judge: Any, engine: Any, **search: Any) -> Any:
    options = {"policies": ["sft"], "judge": judge, "searches": [{"kind": "best_of_n", "num_samples": 2, **search}]}
    evaluate = {"kind": "evaluate", "name": "it", "max_failed_judgements": 1.0, **options}
    recipe = small(tasks=FEW, stages=[*RECIPE["stages"], evaluate], **({"engine": engine} if engine else {}))
    return built(recipe, "it", folder, {"sft": served[0] / "sft"})


def http(server: Server) -> dict[str, Any]:
    return {"kind": "http", "endpoints": [server.url]}


def test_a_served_policy_judges_as_it_does_here(served: tuple[Path, Server], tmp_path: Path) -> None:
    there = stage(served, tmp_path / "a", JUDGE, http(served[1]))
    L.Trainer(accelerator="cpu", enable_checkpointing=False, **OPTIONS).test(there.module, there.data, verbose=False)
    spent = there.module.rows[0].extra["computed_per_problem"]
    assert set(spent) == {"policy", "judge"} and spent["judge"]["score_generated"] >= 1
    assert "score_generated" not in spent["policy"]
    here = stage(served, tmp_path / "b", JUDGE, None)
    modules = [there.module, here.module]
    problem = here.module.suite.problems("heldout")[0]
    policies = [module.models.policy("sft") for module in modules]

    async def likely() -> tuple[State, list[str]]:
        """A chain, and two letters that the model is likely to go on with when asked about it."""
        policy = policies[1]
        (step,) = await policy.propose(policy.start(problem), 1, key=1, span=Span(max_tokens=8))
        state = policy.start(problem).after(step)
        asked = policy.start(replace(problem, prompt=problem.prompt + state.text))
        (reply,) = await policy.propose(asked, 1, key=0, decoding=Decoding(greedy=True, alternatives=12))
        texts = [policy.text((token,)) for token, _ in reply.completion.alternatives[0]]
        return state, [text for text in texts if text.isalpha()]

    async def values(state: State, config: JudgeRewardConfig) -> list[float]:
        found = [m.models.judge(config, p, "sft") for m, p in zip(modules, policies, strict=True)]
        return [(await reward.score(state)).value for reward in found]

    state, (good, *others) = asyncio.run(likely())
    bad = next(text for text in others if text.casefold() != good.casefold())
    reply = {"kind": "labels", "good": good, "bad": bad, "alternatives": 20}
    one, other = asyncio.run(values(state, JudgeRewardConfig.model_validate({**JUDGE, "reply": reply})))
    assert one == pytest.approx(other, abs=0.01) and 0 < one < 1


@pytest.mark.slow
@pytest.mark.parametrize("named", ["policy", "stage", "folder"])
def test_a_served_model_judges_a_policy_that_is_here(
    served: tuple[Path, Server], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is another model than the one on the server, whose weights are not loaded here."""
    model, template = tiny(seed=3, context=300)
    save_directory(model, template.tokenizer, tmp_path / "own")
    servers = http(served[1]) | ({"tokenizer": str(served[0] / "sft")} if named == "folder" else {})
    judge = {**JUDGE, "engine": servers} | ({"model": "sft"} if named == "stage" else {})
    search = {"kind": "best_of_n", "num_samples": 2}
    extra = [{"kind": "sft", "name": "own", "steps": 1}, {"kind": "evaluate", "name": "it", "policies": ["own"]}]
    extra[1] |= {"judge": judge, "searches": [search], "max_failed_judgements": 1.0}
    recipe = small(tasks=FEW, stages=[*RECIPE["stages"], *extra])
    made: Any = built(recipe, "it", tmp_path / "it", {"own": tmp_path / "own", "sft": served[0] / "sft"})
    asked: list[Any] = []
    sample = HttpEngine.sample
    monkeypatch.setattr(HttpEngine, "sample", lambda self, *a: asked.append(a) or sample(self, *a))
    L.Trainer(accelerator="cpu", enable_checkpointing=False, **OPTIONS).test(made.module, made.data, verbose=False)
    spent = made.module.rows[0].extra["computed_per_problem"]
    assert asked and spent["judge"]["score_generated"] >= 1 and "score_generated" not in spent["policy"]
    assert list(made.module.models._loaded) == ["own"]
    there = made.module.models.judge(recipe.stages[-1].judge, made.module.models.policy("own"), "own")
    assert isinstance(there.engine, HttpEngine)


@pytest.mark.slow
def test_a_served_model_judges_and_pays_a_policy_that_learns_here(served: tuple[Path, Server], tmp_path: Path) -> None:
    judge = {**JUDGE, "engine": http(served[1])}
    recipe = small({"ppo": {"judge": judge, "reward": {"kind": "mixture", "of": [{"kind": "verifier"}, judge]}}})
    made: Any = built(recipe, "ppo", tmp_path, {"sft": served[0] / "sft"})
    collector = made.data.collector
    (paid,) = collector.reward_models.values()
    assert {type(one.engine) for one in (collector.judge, paid)} == {HttpEngine}
    assert collector.judge.engine.ledger is not paid.engine.ledger


@pytest.mark.slow
def test_what_a_judges_own_server_lacks_is_told(served: tuple[Path, Server], tmp_path: Path) -> None:
    many = {**JUDGE, "engine": http(served[1]), "reply": {**JUDGE["reply"], "alternatives": 10**6}}
    made = stage(served, tmp_path, many, None)
    models = made.module.models
    with pytest.raises(EnvironmentFailure, match=r"the judge looks at 1000000 alternatives.*the server reports"):
        models.judge(made.module.config.judge, models.policy("sft"), "sft")


def test_what_the_server_lacks_is_told_before_anything_is_searched(served: tuple[Path, Server], tmp_path: Path) -> None:
    many = {**JUDGE, "reply": {**JUDGE["reply"], "alternatives": 10**6}}
    with pytest.raises(EnvironmentFailure, match=r"the judge looks at 1000000 alternatives.*the server reports"):
        stage(served, tmp_path, many, http(served[1]))


def test_confidence_judges_a_served_policy(served: tuple[Path, Server], tmp_path: Path) -> None:
    """The search asks for no alternatives; the policy reports them nevertheless."""
    made: Any = stage(served, tmp_path, {"kind": "confidence", "top": 3}, http(served[1]), select="best")
    L.Trainer(accelerator="cpu", enable_checkpointing=False, **OPTIONS).test(made.module, made.data, verbose=False)
    assert made.module.rows[0].search == "rm@2 by confidence"
    assert made.module.tolerance.failed == 0 and made.module.tolerance.judged == 2
