"""CalloutsNet: finds holes and the title block, as centres with sizes (CenterNet, Zhou et al. 2019)."""

import torch
from torch import nn
from torch.nn import functional


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class CalloutsNet(nn.Module):
    """[B, 1, 448, 640] ink (1) on paper (0) -> heat [B, 2, 112, 160] and geometry [B, 4, 112, 160].

    heat: logits of a hole's and of a title block's centre in each cell of 4 x 4 pixels. geometry: where the centre is
    in its cell (x, y in cells, 0 to 1) and log(width / 16 px), log(height / 16 px). See boxes.py.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.PixelUnshuffle(4), _block(16, 24))  # [B, 24, 112, 160]
        self.middle = nn.Sequential(_block(24, 40, stride=2), _block(40, 40))  # [B, 40, 56, 80]
        self.coarse = nn.Sequential(  # [B, 56, 28, 40]
            _block(40, 56, stride=2), _block(56, 56), _block(56, 56, dilation=2), _block(56, 56, dilation=4)
        )
        self.up_middle = nn.Conv2d(56, 40, 1)
        self.mix_middle = _block(40, 40)
        self.up_fine = nn.Conv2d(40, 24, 1)
        self.mix_fine = _block(24, 32)
        self.head = nn.Conv2d(32, 6, 1)
        with torch.no_grad():
            self.head.bias[:2] = -4.0  # centres are rare

    def forward(self, ink: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(ink)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = self.mix_middle(middle + functional.interpolate(self.up_middle(coarse), scale_factor=2.0))
        fine = self.mix_fine(fine + functional.interpolate(self.up_fine(middle), scale_factor=2.0))
        out = self.head(fine)
        return out[:, :2], out[:, 2:]
