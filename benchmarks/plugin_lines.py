"""Lines written by hand for a new search: `python -m benchmarks.plugin_lines`.

`o1kit plugins new` makes a package; a patch turns what it samples into a search of its own (samples until one answer
has come up `agree` times, or none are left). The lines that the patch adds are counted as `diff` counts them, the
package is installed in a virtual environment of its own, and its tests, which are the conformance kit, are run there.
Target: at most 40 lines.
"""

from __future__ import annotations

import difflib
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from o1kit.scaffold.plugin import make_plugin
from tests.plugin_venv import PluginVenv

NAME, TARGET = "o1kit-until-agreed", 40
CONFIG = {
    '    """Samples independent chains and takes the most frequent answer."""\n': (
        '    """Samples one chain at a time until an answer has come up often enough; that is the answer.\n'
        "\n"
        "    With none that has, it is the most frequent one of `num_samples`.\n"
        '    """\n'
    ),
    '    """Samples a problem."""\n': (
        '    """Samples a problem, at most."""\n'
        "    agree: Count = 2\n"
        '    """Samples with the same answer at which sampling ends."""\n'
    ),
    '@{self.num_samples}"': ' {self.agree}<={self.num_samples}"',
}
SEARCH = {
    "        states = await policy.complete(root, config.num_samples, key=key, decoding=config.decoding)\n"
    "        found = tuple(Trajectory(state, policy.answer(state)) for state in states)\n"
    "        generated = sum(len(state.token_ids) - len(root.token_ids) for state in states)\n": (
        "        found: tuple[Trajectory, ...] = ()\n"
        "        agreed = False\n"
        "        while len(found) < config.num_samples and not agreed:\n"
        "            first = len(found)\n"
        "            (state,) = await policy.complete(root, 1, key=key, decoding=config.decoding, first=first)\n"
        "            found = (*found, Trajectory(state, policy.answer(state)))\n"
        "            answers = [t.answer for t in found if t.answer is not None]\n"
        "            agreed = any(answers.count(answer) >= config.agree for answer in answers)\n"
        "        generated = sum(len(t.state.token_ids) - len(root.token_ids) for t in found)\n"
    ),
}
OWN_TEST = """

def test_it_ends_when_two_agree() -> None:
    with_one = UntilAgreed(UntilAgreedConfig(kind="until_agreed", num_samples=8, agree=1))
    lab = Lab()
    policy = lab.policy()
    result = asyncio.run(with_one.run(policy.start(PROBLEMS[0]), policy=policy, reward=None, key=1))
    assert [t.answer is None for t in result.trajectories[:-1]] == [True] * (len(result.trajectories) - 1)
"""
IMPORTS = {
    "from pathlib import Path\n": "import asyncio\nfrom pathlib import Path\n",
    "from o1kit.testing import conformance\n": (
        "from o1kit.testing import conformance\n"
        "from o1kit.testing.lab import PROBLEMS, Lab\n"
        "from o1kit_until_agreed.config import UntilAgreedConfig\n"
        "from o1kit_until_agreed.search import UntilAgreed\n"
    ),
}


def changed(path: Path, changes: Mapping[str, str], more: str = "") -> int:
    """Writes the changes to a file and returns how many lines were added to it."""
    before = after = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        if after.count(old) != 1:
            raise SystemExit(f"{path}: the template has changed: {old!r} is not in it once")
        after = after.replace(old, new)
    after += more
    path.write_text(after, encoding="utf-8")
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return sum(line.startswith("+") and not line.startswith("+++") for line in lines)


def main() -> None:
    """Prints the lines of each file and what the tests say; exit code 1 where the target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder, _ = make_plugin(NAME, "searches", Path(name))
        package = folder / "src" / NAME.replace("-", "_")
        counts = {
            "config.py": changed(package / "config.py", CONFIG),
            "search.py": changed(package / "search.py", SEARCH),
            "tests": changed(folder / "tests" / "test_until_agreed.py", IMPORTS, OWN_TEST),
        }
        environment = PluginVenv(Path(name) / "environment")
        copy = environment.install(folder)
        print(environment.o1kit(copy, "plugins", "check").strip())
        print(environment.pytest(copy).strip().splitlines()[-1])
    total = sum(counts.values())
    print(f"lines written by hand: {', '.join(f'{file} {lines}' for file, lines in counts.items())}; {total} in all")
    print(f"target: at most {TARGET}: {'met' if total <= TARGET else 'missed'}")
    sys.exit(total > TARGET)


if __name__ == "__main__":
    main()
