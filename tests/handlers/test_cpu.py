"""Networks as they are loaded on a CPU against the same networks as they were trained."""

import copy

import pytest
import torch
from cpu import quicker
from torch import nn

from training.handlers import trained_model, weights_path

from .service import MODELS


def trained(*layers: nn.Module) -> nn.Sequential:
    """A network in eval mode whose statistics are those of some batches."""
    torch.manual_seed(3)
    model = nn.Sequential(*layers)
    for _ in range(3):
        model(torch.randn(8, 4, 9, 9) * 2 + 1)
    return model.eval()


def largest_difference(model: nn.Module, changed: nn.Module, sheets: torch.Tensor) -> float:
    with torch.inference_mode():
        before, after = model(sheets), changed(sheets)
    pairs = zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)]
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_models_answer_the_same(name: str) -> None:
    model = trained_model(name, weights_path(name))
    changed = quicker(copy.deepcopy(model))
    assert not [layer for layer in changed.modules() if isinstance(layer, nn.BatchNorm2d)]
    weights = [layer.weight for layer in changed.modules() if isinstance(layer, nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    sheets = (torch.rand(2, 1, 448, 640, generator=torch.Generator().manual_seed(1)) > 0.95).float()
    assert largest_difference(model, changed, sheets) < 1e-4


def conv() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1)


SHARED_CONV, SHARED_NORM = conv(), nn.BatchNorm2d(4)
KEPT = {
    "a convolution in two places": lambda: (SHARED_CONV, nn.BatchNorm2d(4), nn.ReLU(), SHARED_CONV),
    "a norm in two places, once behind a convolution": lambda: (conv(), SHARED_NORM, nn.ReLU(), SHARED_NORM),
    "a layer between": lambda: (conv(), nn.ReLU(), nn.BatchNorm2d(4)),
    "statistics of each batch": lambda: (conv(), nn.BatchNorm2d(4, track_running_stats=False)),
    "a convolution the other way": lambda: (nn.ConvTranspose2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)),
    "no convolution": lambda: (nn.ReLU(), nn.BatchNorm2d(4)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_folded_stays(name: str) -> None:
    model = trained(*KEPT[name]())
    changed = quicker(copy.deepcopy(model))
    assert [layer for layer in changed.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert largest_difference(model, changed, torch.randn(2, 4, 9, 9)) < 1e-5


def test_statistics_and_scales_go_into_the_convolution() -> None:
    norm = nn.BatchNorm2d(4)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    model = trained(nn.Sequential(conv(), norm, nn.ReLU()), nn.Sequential(conv(), nn.BatchNorm2d(4, affine=False)))
    changed = quicker(copy.deepcopy(model))
    assert not [layer for layer in changed.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert largest_difference(model, changed, torch.randn(2, 4, 9, 9)) < 1e-5
