"""Programs that write chains of thought: one file a kind of problem, each a `protocols.Teacher`."""
