"""goldmar tests model APIs: reproducible TorchServe archives, predictions compared with goldens."""

__version__ = "0.1.0"  # the only place that says it; pyproject.toml reads it here
