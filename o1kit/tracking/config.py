"""Recipe sections of trackers: where metrics go besides the files that are always written."""

from typing import Annotated

from o1kit.config import Config
from o1kit.kinds import Kinds


class TrackerSection(Config):
    """A tracker of an installed package."""

    kind: str
    """Selects the tracker."""


TrackerConfig = Annotated[TrackerSection, Kinds("trackers")]
