"""YAML text as nodes with their places, in bounded time: what is nested deeply or made of many nodes is not read on."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tokens import TagToken

from o1kit.recipe.nodes import UNSET
from o1kit.recipe.source import MAX_DEPTH, MAX_NODES

TOO_DEEP = "nested too deeply: this is not a recipe"
TOO_LARGE = f"more than {MAX_NODES} keys and values: this is not a recipe"


def composed(text: str) -> Any:
    """The text as YAML nodes with their places; `!unset` may stand right before a bracket or comma."""
    reader = YAML(typ="safe", pure=True)
    reader.Scanner = _Scanner
    reader.Composer = _Composer
    reader.Resolver = _Resolver
    return reader.compose(text)


class _Resolver(VersionedResolver):
    """Guesses no types of unquoted words: `scalar` reads them as YAML 1.2 does, whatever a file claims to be."""

    @property
    def versioned_resolver(self) -> dict[str, Any]:
        return {}


class _Scanner(Scanner):
    """Looks at every open bracket again with each that follows, so there must not be many of them."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        if self.flow_level > 2 * MAX_DEPTH:
            raise ComposerError(None, None, TOO_DEEP, self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)

    def scan_tag(self) -> Any:
        start = self.reader.get_mark()
        if self.reader.prefix(len(UNSET)) != UNSET or self.reader.peek(len(UNSET)) not in ",]}":
            return super().scan_tag()
        self.reader.forward(len(UNSET))
        return TagToken(("!", UNSET[1:]), start, self.reader.get_mark())


class _Composer(Composer):
    """Counts the nodes it makes, and how deep they are."""

    made = deep = 0

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # an anchor may be set again: the nearest above counts

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.made += 1
        self.deep += 1
        if self.deep > 2 * MAX_DEPTH or self.made > MAX_NODES:
            mark = self.parser.peek_event().start_mark
            raise ComposerError(None, None, TOO_DEEP if self.deep > 2 * MAX_DEPTH else TOO_LARGE, mark)
        node = super().compose_node(parent, index)
        self.deep -= 1
        return node
