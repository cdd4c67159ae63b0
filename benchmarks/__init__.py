"""Where the time of a training step goes. Run from the checkout: ``python -m benchmarks.step --help``."""
