"""The countdown numbers game for o1kit: a source of problems with its own verifier, and a teacher."""

from o1kit.plugin import Plugin
from o1kit_countdown.config import CountdownConfig

game_source = Plugin(api=1, config=CountdownConfig, factory="o1kit_countdown.source:CountdownSource")
step_teacher = Plugin(api=1, config=None, factory="o1kit_countdown.teacher:CountdownTeacher")
