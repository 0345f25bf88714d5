"""goldmar keeps model APIs honest: reproducible TorchServe archives, held against golden predictions."""

from importlib.metadata import version

__version__ = version("goldmar")
