"""Writes weights.pt: random, but the same every time. Replace it with your training.

It lies in a folder of its own because every .py beside handler.py goes into the archive.
"""

import sys
from pathlib import Path

import torch

HANDLER = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HANDLER))

from model import SmallNet  # noqa: E402  what the archive holds is found by bare name, as in the worker

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.save(SmallNet().state_dict(), HANDLER / "weights.pt")
