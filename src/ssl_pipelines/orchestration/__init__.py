"""Between the rooms' code and the tools: freshness, tracking by MLflow, expectations of Great Expectations, stages of DVC."""
