"""One folder a kind of stage: `config.py` (no torch), `module.py` (LightningModule), `data.py` (LightningDataModule)."""
