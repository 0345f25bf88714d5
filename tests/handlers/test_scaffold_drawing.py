"""The handler of `goldmar init`, in TorchServe's own Service: what a bad drawing costs those beside it."""

import json
from pathlib import Path

import psutil
import pytest

from goldmar.init import ModelKind, scaffold

from .service import loaded, parameter

# As a decoder in C does it.
CRASH = """

def _decode(data, mode, decode=_decode):
    if data == b"crash":
        import os
        os.abort()
    if data == b"bug":
        return undefined
    return decode(data, mode)
"""


@pytest.mark.parametrize("kind", [ModelKind.drawing, ModelKind.image])
def test_a_drawing_that_crashes_its_decoder_harms_no_other(tmp_path: Path, kind: ModelKind) -> None:
    scaffold(tmp_path, "gear", kind)
    folder = tmp_path / "handlers/gear"
    (folder / "MAR-INF").mkdir()
    model = {
        "modelName": "gear",
        "handler": "handler.py",
        "serializedFile": "weights.pt",
        "configFile": "model-config.yaml",
    }
    (folder / "MAR-INF/MANIFEST.json").write_text(json.dumps({"model": model}))
    with (folder / "sheet.py").open("a") as file:
        file.write(CRASH)
    good = next((tmp_path / "golden/gear/drawings").iterdir()).read_bytes()
    sent = (good, b"crash", b"text", b"bug", b"", good[:-20], good)
    with loaded(folder) as worker:
        helper = worker.handler.decoder.pid
        replies = worker.predict([[parameter(data)] for data in sent])
        worker.handler.decoder.close()
    assert [reply.status for reply in replies] == [200, 400, 400, 500, 400, 400, 200]
    assert replies[0].json == replies[-1].json
    assert "breaks its decoder" in replies[1].json["message"]
    assert "is damaged" in replies[-2].json["message"]
    assert not psutil.pid_exists(helper)
