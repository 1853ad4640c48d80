"""What hours cost, from a local file; nothing is looked up anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from o1kit.config import Config
from o1kit.errors import RecipeError
from o1kit.recipe.explain import explain
from o1kit.recipe.faults import failure
from o1kit.recipe.source import parse

MAX_BYTES = 1 << 16
Price = Annotated[float, Field(ge=0.0, le=1e9)]
Watts = Annotated[float, Field(ge=0.0, le=1e9)]


class Prices(Config):
    """A file of prices: `{currency: EUR, per_hour: {cpu: 0.05, gpu: 3.0}, kwh: 0.3, watts: 65}`."""

    currency: Annotated[str, Field(min_length=1, max_length=12)] = "EUR"
    """What the numbers are."""
    per_hour: dict[str, Price] = {}
    """Price of an hour of a machine, by name: `cpu` for one without a GPU, `gpu` or the GPU's own name for one with."""
    kwh: Price = 0.0
    """Price of a kilowatt-hour."""
    watts: Watts = 0.0
    """What the machine draws while it works."""

    def an_hour(self, gpu: str) -> float | None:
        """Price of an hour; None if the file has none for this machine. `gpu` is its name, empty without one."""
        named = [name for name in self.per_hour if gpu and name.lower() in gpu.lower()]
        others = [name for name in self.per_hour if name != "cpu"]
        # A GPU that nobody has named is the only one there is a price of.
        names = [*named, "gpu", *(others if len(others) == 1 else [])] if gpu else ["cpu"]
        base = next((self.per_hour[name] for name in names if name in self.per_hour), None)
        energy = self.kwh * self.watts / 1000
        return base + energy if base is not None else energy or None

    def lacking(self) -> str:
        """What the file leaves out, so that energy costs nothing; empty if it says both of it or neither."""
        if bool(self.kwh) == bool(self.watts):
            return ""
        given, other = ("kwh", "watts") if self.kwh else ("watts", "kwh")
        return f"energy is not counted: the file of prices has `{given}`, but no `{other}`"


def read_prices(path: Path) -> Prices:
    """The prices in a YAML file.

    Raises:
        RecipeError: it cannot be read, or says something else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path}: is larger than {MAX_BYTES} bytes. Prices fit in a few lines.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"{path}: cannot be read: {reason}. Name a YAML file of prices.") from error
    source = parse(text, str(path))
    if source.faults:
        raise failure(source)
    try:
        return Prices.model_validate(_floats(source.data))
    except ValidationError as error:
        explain(error, Prices, source)
        told = failure(source)
        text = f"{told}\nWrite, for example: {{currency: EUR, per_hour: {{cpu: 0.05}}, kwh: 0.3, watts: 65}}"
        raise RecipeError(text, told.faults) from error


def _floats(data: object) -> object:
    """Whole numbers as floats, which strict sections want."""
    if isinstance(data, dict):
        return {key: _floats(value) for key, value in data.items()}
    return float(data) if isinstance(data, int) and not isinstance(data, bool) else data
