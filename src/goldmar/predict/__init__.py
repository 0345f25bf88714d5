"""Drawings -> Predictions: many at once, latencies kept.

`predict` asks, `interpret` says what one answer means, `flatten` turns its JSON into rows of the golden CSV;
`ask_stages` asks what became of a drawing on the way.
"""

from goldmar.predict.answers import interpret
from goldmar.predict.drawings import exchange, predict
from goldmar.predict.leaves import flatten
from goldmar.predict.retries import Retries
from goldmar.predict.stages import NOT_GIVEN, ask_stages
from goldmar.transport.connection import Request

__all__ = ["NOT_GIVEN", "Request", "Retries", "ask_stages", "exchange", "flatten", "interpret", "predict"]
