"""Whole runs, as a user makes them, with policies held by real servers."""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from o1kit.cli import main
from o1kit.models.load import load_directory, load_tokenizer, save_directory
from o1kit.report.labels import read_labels
from o1kit.report.results import read_results
from o1kit.report.tree import read_chains, read_trees
from tests.gguf_file import write_gguf
from tests.servers import Server, llama_cpp, transformers_serve
from tests.small import LETTERS, RECIPE
from tests.tiny import tiny

GREEDY, SAMPLE = {"kind": "greedy"}, {"kind": "sample", "num_samples": 3, "top_k": 20}
HELDOUT = {"heldout": {"num_problems": 4, "sources": [LETTERS]}}
SFT, PRM, PPO, EVALUATE = RECIPE["stages"]


class Done(NamedTuple):
    """How a run ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *arguments: object, **recipe: Any) -> Done:
    """`o1kit run` on the recipe, in this process: the servers are others."""
    with (folder / "r.yaml").open("w") as file:
        YAML(typ="safe").dump({"o1kit": 1, "name": "r", "tracking": {"wandb": {"mode": "disabled"}}} | recipe, file)
    command = ["run", folder / "r.yaml", "--runs-dir", folder / "runs", "--plain", *arguments]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main([str(word) for word in command])
    return Done(code, out.getvalue(), err.getvalue())


def engine(server: Server, **options: Any) -> dict[str, Any]:
    return {"kind": "http", "endpoints": [server.url], "timeout_s": 30.0, **options}


def test_a_folder_gives_its_tokenizer_and_context_without_weights(tmp_path: Path) -> None:
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    found = load_tokenizer(tmp_path)
    assert found.context_length == 160
    assert found.tokenizer("1+1= ok\n").input_ids == template.encode("1+1= ok\n")
    assert load_tokenizer(tmp_path, 90).context_length == 90


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama.cpp", "transformers"])
def test_a_served_model_is_evaluated(kind: str, tmp_path: Path) -> None:
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "model")
    if kind == "llama.cpp":
        serving = llama_cpp(write_gguf(model, template.tokenizer, tmp_path / "m.gguf"), context=160)
        name = None
    else:
        serving, name = transformers_serve(tmp_path / "model"), str(tmp_path / "model")
    stage = {"kind": "evaluate", "name": "evaluate", "policies": ["model"], "searches": [GREEDY, SAMPLE]}
    recipe = {"model": {"kind": "hf", "source": str(tmp_path / "model")}, "tasks": HELDOUT, "stages": [stage]}
    with serving as server:
        done = run(tmp_path, **recipe, engine=engine(server, model=name))
    assert done.returncode == 0, done.stderr
    served = read_results(tmp_path / "runs/r/results.json").rows
    assert [row.search for row in served] == ["greedy", "pass@1 (top_k=20)", "pass@3 (top_k=20)"]
    for row in served:
        spent = row.extra["computed_per_problem"]["policy"]
        assert spent["simulate_prompt"] > 0
        samples = 3 if row.search != "greedy" else 1
        share = row.tokens_per_problem * (samples if row.search == "pass@1" else 1)
        assert spent["simulate_generated"] >= share * 0.99 - 1
    found = json.loads((tmp_path / "runs/r/evaluate/done.json").read_text())["summary"]["server"]
    assert found["logprobs"] is (kind == "llama.cpp")
    local = run(tmp_path, "--set", "name=local", **recipe)
    assert local.returncode == 0, local.stderr
    greedy = read_results(tmp_path / "runs/local/results.json").rows[0]
    assert greedy.tokens_per_problem == served[0].tokens_per_problem, "the same chains, from weights in this process"


@pytest.mark.slow
def test_a_served_model_is_rolled_out(tmp_path: Path) -> None:
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "model")
    search = {"kind": "best_of_n", "num_samples": 2, "select": "majority"}
    stage = {"kind": "rollout", "name": "rollout", "policy": "model", "split": "heldout", "search": search}
    recipe = {"model": {"kind": "hf", "source": str(tmp_path / "model")}, "tasks": HELDOUT, "stages": [stage]}
    folder = tmp_path / "runs/r/rollout"
    with llama_cpp(write_gguf(model, template.tokenizer, tmp_path / "m.gguf"), context=160) as server:
        done = run(tmp_path, **recipe, engine=engine(server))
        assert done.returncode == 0, done.stderr
        trees, chains = list(read_trees(folder / "trees.jsonl")), list(read_chains(folder / "chains.jsonl"))
    assert len(trees) == 4 and len(chains) == 8
    assert all(n.logprobs and len(n.logprobs) == len(n.token_ids or ()) for t in trees for n in t.nodes[1:])
    found = json.loads((folder / "done.json").read_text())["summary"]
    assert found["server"]["logprobs"] is True and found["journal"]["recorded"] == 4
    assert found["tokens_per_problem"] == sum(chain.tokens for chain in chains) / 4


@pytest.mark.slow
def test_a_served_model_labels_steps(tmp_path: Path) -> None:
    model, template = tiny(context=160)
    save_directory(model, template.tokenizer, tmp_path / "model")
    sources = {
        "mc": {"kind": "monte_carlo", "num_problems": 2, "chains": 2, "completions": 1},
        "omega": {"kind": "omega", "num_problems": 2, "rollouts": 2, "keep": "all"},
        "judge": {"kind": "judge", "of": "mc", "prompt": "{problem}{before}{step}"},
    }
    stages = [{"kind": "labels", "name": name, "policy": "model", "source": sources[name]} for name in sources]
    recipe = {"model": {"kind": "hf", "source": str(tmp_path / "model")}, "stages": stages}
    recipe["tasks"] = {"train": HELDOUT["heldout"]}
    with llama_cpp(write_gguf(model, template.tokenizer, tmp_path / "m.gguf"), context=160) as server:
        done = run(tmp_path, **recipe, engine=engine(server))
        assert done.returncode == 0, done.stderr
    for name in sources:
        found = json.loads((tmp_path / "runs/r" / name / "done.json").read_text())["summary"]
        records = list(read_labels(tmp_path / "runs/r" / name / "labels.jsonl"))
        assert found["server"]["logprobs"] is True and found["labelled"] > 0
        assert sum(r.tokens for r in records) == found["tokens_generated"] > 0
        (policy,) = {r.provenance.policy for r in records}
        assert len(policy) == 64, "a hash of the weights"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run with its first stages done: a policy to be served, and a reward model."""
    folder = tmp_path_factory.mktemp("started")
    ppo = PPO | {"search": SAMPLE, "iterations": 2}
    searches = [GREEDY, {"kind": "mcts", "num_simulations": 2, "num_children": 2}]
    evaluate = EVALUATE | {"policies": ["sft"], "searches": searches}
    nowhere = {"kind": "http", "endpoints": ["http://127.0.0.1:9/v1"], "max_retries": 0}
    recipe = {key: RECIPE[key] for key in ("model", "tasks")} | {"stages": [SFT, PRM, ppo, evaluate], "engine": nowhere}
    done = run(folder, "--stage", "sft..prm", **recipe)
    assert done.returncode == 0, done.stderr
    return folder, recipe


@pytest.fixture
def started(begun: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of it."""
    folder, recipe = begun
    return shutil.copytree(folder, tmp_path / "run"), recipe


@pytest.mark.slow
def test_ppo_learns_from_a_server_that_holds_its_policy(started: Any) -> None:
    folder, recipe = started
    model, tokenizer = load_directory(folder / "runs/r/sft")
    with llama_cpp(write_gguf(model, tokenizer, folder / "sft.gguf"), context=160) as server:
        done = run(folder, **recipe | {"engine": engine(server)})
    assert done.returncode == 0, done.stderr
    assert "sft: already done" in done.stdout, "where the server is changes no stage"
    lines = [json.loads(line) for line in (folder / "runs/r/ppo/metrics.jsonl").read_text().splitlines()]
    gaps = [line["search/server_logprob_gap"] for line in lines if "search/server_logprob_gap" in line]
    assert len(gaps) == 2 and max(gaps) < 0.01
    first = next(line for line in lines if "ppo/ratio_mean" in line)
    assert first["ppo/ratio_mean"] == pytest.approx(1.0, abs=0.01)
    assert first["rollout/logprob_absdiff_max"] < 0.05
    rows = read_results(folder / "runs/r/results.json").rows
    assert {row.policy for row in rows} == {"sft"}
    assert rows[-1].extra["computed_per_problem"]["prm"]["score_scored"] > 0, "the reward model runs here"


@pytest.mark.slow
def test_servers_that_ppo_cannot_learn_from(started: Any) -> None:
    folder, recipe = started
    done = run(folder, "--stage", "ppo", **recipe)
    assert done.returncode == 3
    assert "http://127.0.0.1:9/v1: ConnectError" in done.stderr
    other, template = load_directory(folder / "runs/r/sft")
    other.lm.get_input_embeddings().weight.data.mul_(-20.0)
    with llama_cpp(write_gguf(other, template, folder / "other.gguf"), context=160) as server:
        done = run(folder, "--stage", "ppo", **recipe | {"engine": engine(server)})
    assert done.returncode == 3
    assert "they serve other weights. Serve that stage's folder" in done.stderr
    name = str(folder / "runs/r/sft")
    with transformers_serve(Path(name)) as server:
        done = run(folder, "--stage", "ppo", **recipe | {"engine": engine(server, model=name)})
    assert done.returncode == 3
    assert f"the server at {server.url} cannot be used for PPO:" in done.stderr
    assert "- it returns no log-probabilities (it ignores `logprobs`)" in done.stderr
    assert "Traceback" not in done.stderr
