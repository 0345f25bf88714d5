"""Ask a model what it makes of a drawing stage by stage; handlers/common/stages.py is the other end."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing

from goldmar.errors import GoldenError
from goldmar.files import read_whole
from goldmar.golden.stage_file import MALFORMED, stages_of
from goldmar.predict.answers import interpret
from goldmar.predict.drawings import replies_of
from goldmar.predict.leaves import parse
from goldmar.records import Answer, Ask, Drawing, Endpoint, Part, Stage, Staged
from goldmar.text import clean, holds_secret

__all__ = ["CONTENT_TYPE", "HEADER", "NOT_GIVEN", "ask_stages"]

HEADER = "X-Goldmar-Stages"
CONTENT_TYPE = "application/vnd.goldmar.stages+json"
NOT_GIVEN = "the server does not give stages"


def ask_stages(model: str, drawings: Sequence[Drawing], target: Endpoint | Ask) -> Generator[Staged, None, None]:
    """Each drawing's stages with their data, in the order of `drawings`, the file itself as a stage before the first.

    A drawing whose stages are not given has none at all, and a problem that says why; one that the model refuses has a
    problem and the stages before that.

    One is asked at a time, so that on a server that nobody else asks each is a batch of its own, as in TorchServe's
    worker: a batch of four may differ from it in the last digits. Raises as `predict` does.
    """
    url, replies = replies_of(model, drawings, target, clients=1, headers={HEADER: "full"})
    with closing(replies):
        for reply in replies:
            drawing, answer = drawings[reply.index], reply.answer
            if answer.content_type.split(";")[0].strip() != CONTENT_TYPE:
                problem = interpret(drawing, answer, reply.latency_s, reply.attempts, model=model, url=url).problem
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
    try:
        content = read_whole(drawing.path, drawing.size)
    except OSError as error:
        msg = f"The drawing {drawing.path} cannot be read: {error.strerror or error}."
        raise GoldenError(msg, fix="Put the file back, or take its rows out of the golden.") from error
    return Part("", "file", (len(content),), hashlib.sha256(content).hexdigest())


def _refusal(answer: Answer, said: object) -> str:
    message = said.get("message") if isinstance(said, dict) else None
    return f"the model refuses it (status {answer.status}): {message or 'it does not say why'}"
