"""REBASE tree search for o1kit: each round's samples go where the reward model sees promise, in balance."""

from o1kit.plugin import Plugin
from o1kit_rebase.config import RebaseConfig

plugin = Plugin(api=1, config=RebaseConfig, factory="o1kit_rebase.search:Rebase")
