"""What the project promises about speed, each as a ratio within one run. `make bench` runs all of it."""
