"""TensorBoard for o1kit."""

from o1kit.plugin import Plugin
from o1kit_tensorboard.config import TensorboardConfig

plugin = Plugin(api=1, config=TensorboardConfig, factory="o1kit_tensorboard.tracker:tensorboard")
