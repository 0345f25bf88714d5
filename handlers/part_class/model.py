"""PartClassNet: tells the family of the part on a drawing."""

import torch
from torch import nn

CLASSES = ("angle", "bracket", "flange", "gasket", "plate", "shaft")


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class PartClassNet(nn.Module):
    """[B, 1, 448, 640] ink (1) on paper (0) -> logits [B, 6] in the order of CLASSES."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4),  # [B, 16, 112, 160]
            _block(16, 24),
            _block(24, 32, stride=2),  # [B, 32, 56, 80]
            _block(32, 32),
            _block(32, 48, stride=2),  # [B, 48, 28, 40]
            _block(48, 48),
            _block(48, 64, stride=2),  # [B, 64, 14, 20]
            _block(64, 64),
        )
        self.head = nn.Linear(128, len(CLASSES))

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        cells = self.body(ink)
        pooled = torch.cat([cells.mean((2, 3)), cells.amax((2, 3))], dim=1)
        logits: torch.Tensor = self.head(pooled)
        return logits
