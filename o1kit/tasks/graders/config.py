"""Recipe sections of what judges answers: the graders, and the processes they run in."""

from typing import Annotated, Literal

from pydantic import Field

from o1kit.config import MIB, Config, Count, Mebibytes, NonNegative, Probability, Seconds, Unit
from o1kit.functional.answers import AnswerRule
from o1kit.kinds import Kinds


class ExactConfig(Config):
    """Right if both answers are the same text but for case, blanks, `$`, thousands separators and a trailing `.0`."""

    kind: Literal["exact"]
    """Selects this grader."""


class NumericConfig(Config):
    """Right if both answers are numbers of the same value, however they are written."""

    kind: Literal["numeric"]
    """Selects this grader."""
    absolute: NonNegative = 1e-6
    """Largest difference. Whole numbers that differ are never within the default."""
    relative: NonNegative = 0.0
    """Largest difference as a share of the right answer; the larger of both tolerances counts."""


class MathConfig(Config):
    """Right if both answers are the same mathematical object, by math-verify: numbers, expressions, sets, ..."""

    kind: Literal["math"]
    """Selects this grader."""


class PythonConfig(Config):
    """Right if the answer is a Python program that prints the expected text.

    Linux only. The program can start no process, open no socket and change no file, and is ended in time. Where the
    kernel lacks Landlock (before Linux 5.13) it can read every file that you can read. See docs/graders.md.
    """

    kind: Literal["python"]
    """Selects this grader."""
    runs_model_code: Literal[True]
    """`true` says that you know what this does: it runs programs that a model wrote, on this machine."""
    timeout_s: Annotated[Seconds, Field(le=60.0)] = 2.0
    """Seconds that a program may run, of processor time too; one that takes longer is wrong."""
    memory_mb: Annotated[int, Field(ge=32, le=65536), MIB] = 256
    """Address space of a program, in MiB."""
    output_kb: Annotated[int, Field(ge=1, le=65536), Unit("KiB")] = 64
    """A program that prints more than so many KiB is ended, and wrong."""
    stdin_field: str | None = None
    """Key that holds what the program reads from its standard input; none: nothing."""


GraderConfig = Annotated[ExactConfig | NumericConfig | MathConfig | PythonConfig, Kinds("graders")]


class GradingConfig(Config):
    """How answers are found and judged, in worker processes that can be killed."""

    answer_rule: AnswerRule = "stated"
    r"""How the final answer is found in a chain: `stated` takes what follows the last "the answer is" or `####`;
    `final` that or the last `\boxed{}`, whichever comes later; `last_line`, `last_number`, `code` (the last block
    between three backticks) and `whole` are what their names say."""
    num_workers: Annotated[Count, Field(le=64)] = 2
    """Processes that judge."""
    timeout_s: Seconds = 5.0
    """Seconds for one answer, after which its process is killed and the outcome is a timeout."""
    memory_mb: Annotated[Mebibytes, Field(ge=256)] = 2048
    """Address space of each process, in MiB."""
    max_failures: Probability = 0.05
    """Largest share of answers that may end in an error or a timeout before the run fails; they count as wrong."""
