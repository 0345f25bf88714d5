"""All that TorchServe's worker asks of torch where a handler answers in JSON.

The real one takes two seconds of CPU in every worker that starts, and 600 MB in every environment.
"""


class Tensor:
    """No answer is one."""
