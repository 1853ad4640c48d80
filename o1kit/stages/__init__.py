"""One folder a kind of stage: `config.py` (no torch), `stage.py`, `module.py` and `data.py` (Lightning)."""
