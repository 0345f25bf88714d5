"""goldmar keeps model APIs honest: reproducible TorchServe archives, held against golden predictions."""

__version__ = "0.1.0"  # the only place that says it; pyproject.toml reads it here
