"""MLflow: the store, the runs of trainings and evaluations, the registry of models and what it serves."""
