"""ThicknessNet: reads the thickness off the edge view of a drawing at scale 1:1."""

import torch
from torch import nn

LOWEST, HIGHEST, STEP = 1.0, 27.0, 0.5  # mm, the bins between which the net decides
SHARPNESS = 5.0  # how much more than in training the likeliest edge views count


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class ThicknessNet(nn.Module):
    """[B, 1, 448, 640] ink (1) on paper (0) -> [B] thickness in mm, if a pixel covers 25.4 / 37.5 mm.

    Every cell of 8 x 8 pixels says how much it looks like an edge view and how wide the strip there is, as
    a distribution over bins; the answer is the mean width, weighted by the looks.
    """

    def __init__(self) -> None:
        super().__init__()
        bins = torch.arange(LOWEST, HIGHEST + STEP / 2, STEP)
        self.register_buffer("bins", bins, persistent=False)
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4),  # [B, 16, 112, 160]
            _block(16, 24),
            _block(24, 32, stride=2),  # [B, 32, 56, 80]
            _block(32, 32),
            _block(32, 32, dilation=2),
            _block(32, 32, dilation=3),
            _block(32, 64),
        )
        self.head = nn.Conv2d(64, 1 + len(bins), 1)

    def dense(self, ink: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of being an edge view [B, 56, 80] and of the width bins [B, bins, 56, 80]."""
        cells = self.head(self.body(ink))
        return cells[:, 0], cells[:, 1:]

    def pool(self, edge: torch.Tensor, width: torch.Tensor, sharpness: float = 1.0) -> torch.Tensor:
        """What `dense` returns -> [B] mm. In training every doubtful cell has a say, so that all of them learn."""
        mean = (width.softmax(1) * self.bins.view(1, -1, 1, 1)).sum(1)
        weight = (sharpness * edge.flatten(1)).softmax(1)
        return (mean.flatten(1) * weight).sum(1)

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        return self.pool(*self.dense(ink), SHARPNESS)
