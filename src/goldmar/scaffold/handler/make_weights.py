"""Writes weights.pt: random, but the same every time. Replace it with your training."""

from pathlib import Path

import torch
from model import SmallNet

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.save(SmallNet().state_dict(), Path(__file__).with_name("weights.pt"))
