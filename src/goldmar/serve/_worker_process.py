"""The child of goldmar.backends.worker: TorchServe's own worker, talking over an inherited socket instead of a port.

    python _worker_process.py SOCKET_FD

Run by path, so that an interpreter without goldmar will do: nothing but the standard library and `ts` is imported.
What crosses the socket is TorchServe's protocol, read, answered and written by `ts.model_service_worker` itself.
"""

import logging
import socket
import sys
from pathlib import Path


def main() -> int:
    """Serve until the parent closes its end. Everything printed is the log, as behind TorchServe."""
    # As TorchServe's worker does for its own folder: modules of a handler may be called `local` or `worker`, too.
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)

    import ts
    from ts.model_service_worker import TorchModelServiceWorker

    metrics = Path(ts.__file__).parent / "configs" / "metrics.yaml"
    # The name is only looked at, and nothing bound to it: run_server is not called.
    worker = TorchModelServiceWorker("unix", str(Path.cwd() / ".socket.0"), metrics_config=str(metrics))
    worker.sock.close()
    try:
        worker.handle_connection(socket.socket(fileno=int(sys.argv[1])))
    except Exception:
        logging.exception("Backend worker process died.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
