"""Recipes that are made to break something, as hypothesis strategies: bytes of files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from benchmarks.schema_walk import Section, declared, inside, minimal, numbers, value_of, walk, words

SHIPPED = sorted((Path(__file__).parents[1] / "recipes").rglob("*.yaml"))
SMALL = """\
o1kit: 1
name: small
model: {kind: scratch, hidden_size: 64, tokenizer: {kind: char, phrases: [ab, "c d"]}}
tasks:
  train: {num_problems: 10, sources: [{kind: reasoning_gym, generator: chain_sum, params: {min_terms: 2}}]}
  heldout: {num_problems: 5, sources: [{kind: jsonl, path: y.jsonl}]}
stages:
  - {kind: sft, name: sft, steps: 5, optimizer: {lr: 1e-5}, lora: {rank: 4}}
  - kind: ppo
    name: ppo
    policy: sft
    reward: {kind: mixture, of: [{kind: verifier}, {kind: confidence, weight: 0.5}]}
    search: {kind: mcts, leaf_value: value_head}
  - {kind: evaluate, name: evaluate, policies: [sft], searches: [{kind: greedy}]}  # at the end
"""
PIECES = [
    "!!binary aGVsbG8=", "!!binary '%%'", "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2001-01-01", "!!int '1'",
    '!!python/object/apply:os.system ["touch pwned"]', "!!python/name:os.system", "!!float 'x'", "!!map []", "!!seq {}",
    "!<tag:yaml.org,2002:str> x", "! x", "!unset", "!replace {a: 1}", "!", "!!", "!!bool maybe", "!!null x", "!!str",
    "<<: *a", "<<: {a: 1}", "<<", "&a", "*a", "&a [*a]", "&a {b: *a}", "&a {*a : 1}", "*a : 1", "? [a, b]\n: c", "? a",
    "? {a: 1} : 2", "--- \n", "...\n", "---\na: 1\n---\nb: 2\n", "%YAML 1.1\n---\n",
    "%YAML 9.9\n---\n", "%TAG ! x:\n---\n",
    "%FOO\n", "\t", "\t- a", "\ufeff", "\x00", "\x07", "\x1b[2J", "\x85", "\u2028", "\u202e", "\r",
    "\r\n", "\x0b", "\ue000",
    "[" * 30, "[" * 2000, "{" * 2000, "[{" * 500, "- " * 2000, "? " * 500, "a: " * 300,
    "!!str " * 100, "'" * 999, '"' * 99,
    "9" * 31, "9" * 5000, "-" + "9" * 400, "0x" + "f" * 40, "0o17", "0b1", "1_000", "1:30", "1e999999999", "1e-999999",
    ".inf", "-.inf", ".nan", "NaN", "1.", ".", "+", "-", "=", "~", "null", "yes", "on", "True", "2001-01-01T00:00:00Z",
    "|\n", "|9\n  x\n", ">-\n x\n", "|+\n\n\n", "'", '"', '"\\ud800"', '"\\uD83D\\uDE00"', '"\\U00110000"', '"\\x00"',
    '"\\N"', "\\", "#", " #", ": ", ":", ",", "]", "}", "- ", "-", "?", "@", "`", "%",
    "x" * 20_000, "é" * 300, "漢字" * 200,
    "\U0001f600", "é̀́", "${name}", "${env:HOME}", "${stages}", "${a.b.c}", "${${name}}", "$${x}", "${", "${name" * 300,
    "extends: [recipe.yaml]", "extends: /etc/passwd", "extends: .", "extends: ''", "extends: /dev/zero", "+stages: []",
    "+name: [1]", "stages: {sft: {steps: 1}}", "stages: {sft: !unset }", "kind:", "kind: []",
    "kind: {}", "kind: plugin",
    "name: ''", "__class__: 1", "model_config: {}", "__proto__: {}", "../../etc/passwd", "a" * 300 + ": 1",
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**29, 10**400, 0.5, -0.0,
    5e-324, 1e308, "", " ", "x",
    "model", "sft", "none", "\x00", "\x1b[31m", "\u202e", "\ud800", "a\nb", "'", "${name}",
    "${env:PATH}", "${stages[0]}",
    "${stages[99999999999]}", "$${", "../..", "/etc/passwd", "x" * 5000, "(" * 60, "(a+)+$", "[", "(?P<a>", "{problem}",
    "{problem.__class__}", "{0}", "{", "http://[", "http://user:pw@x", "file:///etc",
    "http://x:99999999999/", [], {}, [[]],
    [None], {"": None}, {"kind": None}, {"kind": "plugin", "name": "os"}, {"kind": ["a"]}, {"a": {"b": {"c": {}}}},
    [[[[[[[[[[]]]]]]]]]], ["sft"] * 50, list(range(300)), {str(i): i for i in range(300)},
]  # fmt: skip


LETTERS = st.sampled_from("aekns_-. 019:{}[]'\"#&*!|>%@`$,?\n\t\x00\x1b\x85\u2028\ud800\ue000é漢\u0301\U0001f600")


@cache
def sections() -> list[Section]:
    return walk()


@cache
def texts() -> list[str]:
    """Valid recipes, small ones more often: large ones take long to read."""
    generated = [json.dumps(s.place(minimal(s.model)), indent=1) for s in sections()[::7]]
    return [*[SMALL] * 12, *generated, *(path.read_text() for path in SHIPPED)]


@st.composite
def fitting(draw: st.DrawFn, section: Section) -> dict[str, Any]:
    """Values of a few fields, each of the declared type: the recipe may be valid, or fail a rule between them."""
    found: dict[str, Any] = {}
    fields = section.model.model_fields
    for key in draw(st.lists(st.sampled_from(list(fields)), min_size=1, max_size=4, unique=True)):
        if key == "kind":
            continue
        annotation = declared(fields[key])
        inner = list(inside(annotation))
        bounds = [end for _, limits in numbers(annotation) for end in limits.values()]
        choices: list[Any] = [value_of(annotation), *words(annotation), *bounds, *[end + 1 for end in bounds]]
        choices += [0, 1, 0.5, 7, True, "model", "sft", None] + [put(minimal(model)) for model, _, put in inner]
        found[key] = draw(st.sampled_from(choices))
    return found


@st.composite
def made(draw: st.DrawFn) -> bytes:
    """A recipe with a section of the schema in which keys and values do not belong there."""
    section = draw(st.sampled_from(sections()))
    inner: Any = dict(minimal(section.model))
    if draw(st.booleans()):
        inner |= draw(fitting(section))
        text = json.dumps(section.place(inner), ensure_ascii=draw(st.booleans()))
        return text.encode("utf-8", "surrogatepass")
    values = st.one_of(st.sampled_from(ODD), st.integers(), st.floats(), st.text(LETTERS, max_size=20))
    for _ in range(draw(st.integers(1, 4))):
        key = draw(st.one_of(st.sampled_from(list(section.model.model_fields)), st.text(LETTERS, max_size=8)))
        match draw(st.integers(0, 5)):
            case 0:
                inner.pop(key, None)
            case 1:
                other = draw(st.sampled_from(sections()))
                inner[key] = minimal(other.model)
            case 2:
                inner[key] = [draw(values) for _ in range(3)]
            case _:
                inner[key] = draw(values)
    data = section.place(draw(values) if draw(st.integers(0, 30)) == 0 else inner)
    if draw(st.integers(0, 3)) == 0 and isinstance(data, dict):
        data[draw(st.sampled_from(["name", "o1kit", "tasks", "stages", "model", "engine", "extends", "seed"]))] = draw(
            values
        )
    text = json.dumps(data, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """The text of a valid recipe in which bytes, lines and pieces of YAML are changed."""
    text = draw(st.sampled_from(texts()))
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        piece = draw(st.sampled_from(PIECES))
        line = lines[at] if lines else ""
        column = draw(st.integers(0, max(0, len(line) - 1)))
        match draw(st.integers(0, 7)):
            case 0 if lines:
                lines[at : at + 1] = []
            case 1:
                lines.insert(at, draw(st.sampled_from(lines or [""])))
            case 2:
                lines.insert(at, " " * draw(st.sampled_from([0, 0, 2, 4, 6])) + piece + "\n")
            case 3 if ": " in line:
                lines[at] = line[: line.index(": ") + 2] + piece + "\n"
            case 4 if lines:
                lines[at] = line[:column] + piece + line[column + 1 :]
            case _ if lines:
                lines[at] = line[:column] + piece + line[column:]
    raw = bytearray("".join(lines).encode("utf-8", "surrogatepass"))
    if draw(st.integers(0, 3)) == 0 and raw:
        for _ in range(draw(st.integers(1, 5))):
            at = draw(st.integers(0, len(raw) - 1))
            match draw(st.integers(0, 3)):
                case 0:
                    raw[at] = draw(st.integers(0, 255))
                case 1:
                    del raw[at : at + draw(st.integers(1, 20))]
                    raw = raw or bytearray(b"x")
                case 2:
                    raw[at:at] = draw(st.binary(max_size=6))
                case _:
                    raw[at:at] = raw[: draw(st.integers(1, 40))]
    return bytes(raw)


def recipes() -> st.SearchStrategy[bytes]:
    """Both, one as often as the other."""
    return st.one_of(made(), changed())
