"""TorchServe's REST API for predictions: where a model is asked, and what its own errors mean.

| answer, beside those of goldmar.protocols.http      | meaning                               | exit |
|-----------------------------------------------------|---------------------------------------|------|
| 503 "Prediction failed" and its kin: the handler    |                                       |      |
| raised; any status that the handler itself chose    | problem of this drawing               | 1    |
| 400 InvalidKeyException                             | TokenError                            | 2    |
| 503 "has no worker"                                 | OverloadedError, once retries are out | 3    |
| 500 "Worker died."                                  | WorkerDiedError                       | 3    |
| 507 "Worker died.": it was killed                   | WorkerDiedError                       | 3    |

TorchServe's own errors are JSON of the form {code, type, message} (its ErrorResponse). What its front end turns down
has the name of a Java exception as type; what its worker reports (raised, PredictionException, wrong number of results)
has InternalServerException, which "Worker died." has as well; anything else comes from the handler itself
(set_response_status). So a handler's 404 is told from an unknown model, and a handler's 500, the default of
PredictionException, from a dead worker. Of another server nothing of the kind is known, and a 404 or a 500 is taken to
concern every drawing.
"""

from goldmar.errors import ServerError, WorkerDiedError
from goldmar.protocols.http import Http, Refusal, parsed
from goldmar.records import Answer
from goldmar.text import excerpt
from goldmar.transport.connection import TORCHSERVE_EXPIRES

__all__ = ["TorchServe"]

_NO_WORKER = "has no worker to serve inference request"
# What ts/service.py says, with status 503, when it is the handler that went wrong.
_HANDLER_FAILED = {
    "Prediction failed": "the handler raised an exception; its traceback is in the server's log",
    "Invalid model predict output": "the handler returned something that is not a list",
    "number of batch response mismatched": "the handler returned more or fewer results than it was given drawings",
}
# What the front end throws on its way from the socket to the queue (HttpRequestHandler, InferenceRequestHandler).
_FRONT_END = {
    "BadRequestException",
    "ConflictStatusException",
    "DownloadArchiveException",
    "IllegalArgumentException",
    "InvalidKeyException",
    "InvalidModelException",
    "MethodNotAllowedException",
    "ModelNotFoundException",
    "ModelVersionNotFoundException",
    "OutOfMemoryError",
    "RequestTimeoutException",
    "ResourceNotFoundException",
    "ServiceUnavailableException",
}


class TorchServe(Http):
    """POST `/predictions/<model>[/<version>]`, or at the path given; a goldmar.seam.Protocol."""

    place = "/predictions/{model}"
    place_of_version = "/predictions/{model}/{version}"

    def overloaded(self, answer: Answer) -> bool:
        """As with any server, and where no worker or no place in the queue was left."""
        if answer.status != 503:  # every answer is looked at
            return answer.status == 429
        return super().overloaded(answer) or _NO_WORKER in self.refusal(answer).message

    def speaks(self, answer: Answer) -> bool:
        """Whether TorchServe speaks, or its worker, which has no headers. `UTC` is no HTTP date but its own."""
        return not answer.headers or answer.headers.get("expires", "") == TORCHSERVE_EXPIRES

    def about_drawing(self, answer: Answer, said: Refusal) -> bool:
        """Whether the handler itself answers."""
        if said.type == "InternalServerException":
            return not said.message.startswith("Worker ")
        return said.type not in _FRONT_END and self.speaks(answer)

    def refusal(self, answer: Answer) -> Refusal:
        """Type and message of its ErrorResponse."""
        body = parsed(answer)
        if isinstance(body, dict) and "code" in body:
            kind, message = body.get("type"), body.get("message")
            if isinstance(kind, str) and isinstance(message, str):
                return Refusal(excerpt(kind), excerpt(message))
        return super().refusal(answer)

    def turns_token_down(self, answer: Answer, said: Refusal) -> bool:
        """As with any server, and 400 with a type of its own."""
        return super().turns_token_down(answer, said) or (answer.status == 400 and said.type == "InvalidKeyException")

    def broken(self, answer: Answer, said: Refusal, where: str) -> ServerError:
        """A worker that died, was killed or is out of memory, told from a server that fails."""
        died = said.message.startswith("Worker ")
        if answer.status == 500 and died:
            fix = "Read the server's log for the handler's traceback; if it was only slow, raise responseTimeout."
            return WorkerDiedError(f"The worker died or ran into its response timeout{where}", fix=fix)
        if answer.status == 507 and died:  # TorchServe's answer to any SIGKILL
            fix = "See who killed it (dmesg tells of the kernel), then run the command again."
            return WorkerDiedError(f"The worker was killed, by somebody or for want of memory,{where}", fix=fix)
        if answer.status == 507:
            fix = "Lower batchSize or the number of workers, or give the server more memory."
            return ServerError(f"The worker ran out of memory{where}", fix=fix)
        return super().broken(answer, said, where)

    def problem(self, answer: Answer, said: Refusal) -> str:
        """With what ts/service.py means by its words."""
        if answer.status == 503 and said.message in _HANDLER_FAILED:
            return f"{said.message} (status 503): {_HANDLER_FAILED[said.message]}."
        return super().problem(answer, said)
