"""Drawings -> Predictions: many at once, latencies kept.

`predict` asks, `interpret` says what one answer means, `flatten` turns its JSON into rows of the golden CSV.
"""

from goldmar.predict.answers import interpret
from goldmar.predict.connection import Request
from goldmar.predict.drawings import exchange, predict
from goldmar.predict.leaves import flatten
from goldmar.predict.retries import Retries

__all__ = ["Request", "Retries", "exchange", "flatten", "interpret", "predict"]
