"""The shipped table of reasoning_gym's generators, and the faults that it finds before anything is imported."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from reasoning_gym.factory import DATASETS

from o1kit.errors import RecipeError
from o1kit.recipe.loader import load, load_recipe
from o1kit.tasks import generators
from o1kit.tasks.config import ReasoningGymConfig
from o1kit.tasks.generators import DISTRIBUTION, TABLE, table
from tests.tasks.generator_table import made
from tests.test_cli import NO_TORCH, o1kit

RECIPE = """\
o1kit: 1
name: x
model: {kind: scratch, tokenizer: {kind: char}}
tasks:
  train:
    num_problems: 5
    sources:
      - SOURCE
stages: [{kind: evaluate, name: e, policies: [model], splits: [train], searches: [{kind: greedy}]}]
"""


def recipe(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("SOURCE", source))
    return path


def test_the_table_is_that_of_the_installed_version() -> None:
    how = "Make it anew: python -m tests.tasks.generator_table, and see what has changed."
    assert table().version == version(DISTRIBUTION), how
    assert TABLE.read_text() == made(), how


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("generator: leter_counting", {"leter": ("generator", "Did you mean 'letter_counting'?")}),
        ("generator: os.system", {"os": ("generator", "unknown generator 'os.system'. Choose one of: ")}),
        (
            "generator: chain_sum, params: {min_term: 2, seed: 1, max_terms: 2.5, max_digits: '4'}",
            {
                "min_term": ("params.min_term", "unknown option 'min_term' of chain_sum. Did you mean 'min_terms'?"),
                "seed": ("params.seed", "is set by o1kit"),
                "2.5": ("params.max_terms", "should be a whole number, got 2.5. Write a whole number, such as 2."),
                "'4'": ("params.max_digits", "Write the number without quotes: 4."),
            },
        ),
        (
            "generator: basic_arithmetic, params: {format_style: natual, operators: [+, 7], allow_negation: 1}",
            {
                "natual": ("params.format_style", "Did you mean 'natural'?"),
                "7": ("params.operators[1]", "should be a text, got 7. Put it into quotes: '7'."),
                "1": ("params.allow_negation", "should be true or false, got 1. Write true."),
            },
        ),
        ("generator: chain_sum, params: {min_terms: {a: [1]}}", {"{a": ("params.min_terms", "got a section.")}),
        ("generator: ab, params: {length: [1]}", {"[1": ("params.length", "got a list. Write a whole number.")}),
        (
            "generator: caesar_cipher, params: {min_words: -5, max_rotation: 26, min_rotation: 27}",
            {
                "-5": ("params.min_words", "should be more than 0, got -5. Use more than 0."),
                "26": ("params.max_rotation", "should be less than 26, got 26. Use less than 26."),
                "27": ("params.min_rotation", "should be at most max_rotation (26), got 27."),
            },
        ),
        (
            "generator: kakurasu, params: {max_rows: 3, max_cols: '5', p_ones: 1.5}",
            {
                "3": ("params.max_rows", "should be at least min_rows (its default, 4), got 3."),
                "'5'": ("params.max_cols", "Write the number without quotes: 5."),
                "1.5": ("params.p_ones", "should be at most 1, got 1.5. Use at least 0 and at most 1."),
            },
        ),
        ("generator: puzzle24, params: {operators: []}", {"[]": ("params.operators", "more than 0 items, got 0.")}),
        ("generator: chain_sum, teacher: chain_sums", {"chain_sums": ("teacher", "Did you mean 'chain_sum'?")}),
    ],
)
def test_every_wrong_name_and_option_is_told_at_its_place(
    tmp_path: Path, source: str, wrong: dict[str, tuple[str, str]]
) -> None:
    path = recipe(tmp_path, f"{{kind: reasoning_gym, {source}}}")
    row = path.read_text().splitlines()[7]
    with pytest.raises(RecipeError) as caught:
        load(path)
    found = [line for line in str(caught.value).splitlines() if line.startswith(str(path))]
    assert len(found) == len(wrong)
    for line, (word, (name, text)) in zip(found, wrong.items(), strict=True):
        assert line.startswith(f"{path}:8:{row.index(word) + 1}: tasks.train.sources[0].{name}: ") and text in line


def _refuses(generator: str, options: dict[str, float]) -> bool:
    try:
        DATASETS[generator][1](**options).validate()
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("generator", table().rules)
def test_the_generators_themselves_refuse_what_the_rules_refuse_and_nothing_less(generator: str) -> None:
    tried = set()
    for rule in table().rules[generator]:
        for option in rule.options & table().defaults[generator].keys():
            other = rule.left if option == rule.right else rule.right
            bound = table().defaults[generator][other] if isinstance(other, str) else other
            for value in (bound - 1, bound, bound + 1):
                refused = bool(table().broken(generator, {option: value}))
                assert refused == _refuses(generator, {option: value}), (option, value)
                tried.add(refused)
    assert tried == {True, False} or all(rule.left.startswith("len(") for rule in table().rules[generator])


def test_what_the_generators_take_is_fine(tmp_path: Path) -> None:
    for name in ("calendar_arithmetic, params: {tasks: null}", "countdown, params: {operators: ['+', '-']}",
                 "binary_matrix, params: {p_zero: 1}", "rearc, params: {diff_lb: 0.1}", "ab"):  # fmt: skip
        load(recipe(tmp_path, f"{{kind: reasoning_gym, generator: {name}}}"))


def test_a_number_from_the_environment_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{kind: reasoning_gym, generator: letter_counting, params: {max_words: "${env:O1KIT_TEST_N}"}}'
    path = recipe(tmp_path, text)

    def source() -> ReasoningGymConfig:
        (found,) = load_recipe(path).tasks["train"].sources
        assert isinstance(found, ReasoningGymConfig)
        return found

    monkeypatch.setenv("O1KIT_TEST_N", "20")
    assert source().params == {"max_words": 20}
    monkeypatch.setenv("O1KIT_TEST_N", "hunterzwei")
    with pytest.raises(RecipeError, match=r"should be a whole number, got '\$\{env:O1KIT_TEST_N\}'") as caught:
        source()
    assert "hunterzwei" not in str(caught.value)
    path.write_text(path.read_text().replace("num_problems", "num_problem"))
    monkeypatch.setenv("O1KIT_TEST_N", "20")
    with pytest.raises(RecipeError) as caught:
        source()
    assert "whole number" not in str(caught.value), "no false fault beside another one"


def test_a_word_of_digits_on_the_command_line_is_a_word(tmp_path: Path) -> None:
    path = recipe(tmp_path, "{kind: reasoning_gym, generator: caesar_cipher, params: {max_words: 5}}")
    found = load_recipe(path, ["tasks.train.sources[0].params.delimiter=5"]).tasks["train"].sources[0]
    assert isinstance(found, ReasoningGymConfig) and found.params == {"max_words": 5, "delimiter": "5"}


def test_what_only_the_generator_knows_is_told_at_the_source_by_a_rehearsal(tmp_path: Path) -> None:
    text = "{kind: reasoning_gym, generator: composite, params: {datasets: [{name: no_such}]}}"
    path = recipe(tmp_path, text)
    load(path)
    done = o1kit("run", path, "--dry-run", "--runs-dir", tmp_path / "runs")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {path}:8:9: tasks.train.sources[0]: composite refuses its options")


def test_what_another_version_knows_is_for_the_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "version", lambda name: "0.1.99")
    load(recipe(tmp_path, "{kind: reasoning_gym, generator: new_one, params: {x: 1}}"))
    load(recipe(tmp_path, "{kind: reasoning_gym, generator: chain_sum, params: {newest: 1}}"))


def test_the_check_imports_nothing_heavy(tmp_path: Path) -> None:
    path = recipe(tmp_path, "{kind: reasoning_gym, generator: leter_counting}")
    done = o1kit("validate", path, code=NO_TORCH)
    assert done.returncode == 2 and "Did you mean 'letter_counting'?" in done.stderr, done.stderr
