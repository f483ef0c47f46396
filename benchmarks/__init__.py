"""What the project promises about speed, each as a ratio within one run. `make bench` runs all of it."""

import ssl_pipelines  # noqa: F401  (before torch, as in every entry: it sets how torch's threads wait)
