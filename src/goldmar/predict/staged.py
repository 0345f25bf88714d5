"""Ask a model what it makes of a drawing stage by stage; handlers/common/stages.py is the other end."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing

from goldmar.golden.stage_file import MALFORMED, stages_of
from goldmar.predict.drawings import replies_of
from goldmar.protocols.http import content_of
from goldmar.protocols.leaves import parse
from goldmar.records import Answer, Drawing, Part, Stage, Staged
from goldmar.seam import Server
from goldmar.text import clean, holds_secret

__all__ = ["CONTENT_TYPE", "HEADER", "NOT_GIVEN", "ask_stages"]

HEADER = "X-Goldmar-Stages"
CONTENT_TYPE = "application/vnd.goldmar.stages+json"
NOT_GIVEN = "the server does not give stages"


def ask_stages(
    model: str, drawings: Sequence[Drawing], server: Server, *, version: str = "", path: str = ""
) -> Generator[Staged, None, None]:
    """Each drawing's stages with their data, in the order of `drawings`, the file itself as a stage before the first.

    A drawing whose stages are not given has none at all, and a problem that says why; one that the model refuses has a
    problem and the stages before that.

    One is asked at a time, so that on a server that nobody else asks each is a batch of its own, as in TorchServe's
    worker: a batch of four may differ from it in the last digits. Raises as `predict` does.
    """
    replies = replies_of(model, drawings, server, version=version, path=path, headers={HEADER: "full"}, clients=1)
    with closing(replies):
        for reply in replies:
            drawing, answer = reply.request.drawing, reply.answer
            if answer.content_type.split(";")[0].strip() != CONTENT_TYPE:
                problem = server.protocol.read(reply.request, answer).problem
                yield Staged(drawing.id, (), problem or NOT_GIVEN)
                continue
            try:
                if holds_secret(answer.body):
                    msg = "they repeat the token that was sent, which no file must hold"
                    raise ValueError(msg)
                body = parse(answer.body)
                stages = stages_of(body["stages"])
            except MALFORMED as error:
                yield Staged(drawing.id, (), clean(f"its stages cannot be read: {error}"))
                continue
            refused = None if answer.status == 200 else _refusal(answer, body.get("answer"))
            yield Staged(drawing.id, (Stage("drawing", (_file(drawing),)), *stages), refused)


def _file(drawing: Drawing) -> Part:
    content = content_of(drawing)
    return Part("", "file", (len(content),), hashlib.sha256(content).hexdigest())


def _refusal(answer: Answer, said: object) -> str:
    message = said.get("message") if isinstance(said, dict) else None
    return f"the model refuses it (status {answer.status}): {message or 'it does not say why'}"
