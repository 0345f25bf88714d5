"""Drawings -> Predictions: many at once, latencies kept; `ask_stages` asks what became of a drawing on the way."""

from goldmar.predict.drawings import predict, replies_of
from goldmar.predict.retries import Retries
from goldmar.predict.staged import NOT_GIVEN, ask_stages

__all__ = ["NOT_GIVEN", "Retries", "ask_stages", "predict", "replies_of"]
