"""Sections of exporters: what `o1kit export --to` names."""

from typing import Annotated, Literal

from o1kit.config import Config
from o1kit.kinds import Kinds


class ExporterSection(Config):
    """What all exporters have in common."""

    kind: str
    """Selects the exporter."""


class HfExporterConfig(ExporterSection):
    """A folder that plain transformers loads, with a model card."""

    kind: Literal["hf"]
    """Selects this exporter."""


ExporterConfig = Annotated[HfExporterConfig, Kinds("exporters")]


class Export(Config):
    """What the command line asks for."""

    to: ExporterConfig
    """What writes the stage."""
