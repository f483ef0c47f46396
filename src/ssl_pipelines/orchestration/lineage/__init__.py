"""From a number back to the raw files, and forward again: `kedro trace`."""
