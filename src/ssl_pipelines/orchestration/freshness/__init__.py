"""Is what stands there what would be made now? And dvc.yaml, which asks the same of the same facts."""
