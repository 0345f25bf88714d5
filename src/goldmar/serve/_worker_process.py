"""The child of goldmar.serve.worker: TorchServe's own worker, talking over an inherited socket instead of a port.

    python _worker_process.py SOCKET_FD MODEL_DIR PRIVATE_DIR

Run by path, so that an interpreter without goldmar will do: nothing but the standard library and `ts` is imported.
What crosses the socket is TorchServe's protocol, read, answered and written by `ts.model_service_worker` itself.
"""

import logging
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

GRACE_S = 3.0


def main() -> int:
    """Serve until the parent closes its end. Everything printed is the log, as behind TorchServe."""
    # As TorchServe's worker does for its own folder: modules of a handler may be called `local` or `worker`, too.
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    descriptor, model_dir, private = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    threading.Thread(target=_die_with_the_parent, args=(descriptor, private), daemon=True).start()
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)

    import ts
    from ts.model_service_worker import TorchModelServiceWorker

    metrics = Path(ts.__file__).parent / "configs" / "metrics.yaml"
    # The name is only looked at, and nothing bound to it: run_server is not called.
    worker = TorchModelServiceWorker("unix", str(model_dir / ".socket.0"), metrics_config=str(metrics))
    worker.sock.close()
    try:
        worker.handle_connection(socket.socket(fileno=descriptor))
    except Exception:
        logging.exception("Backend worker process died.")
    finally:
        shutil.rmtree(private, ignore_errors=True)  # for the case that the parent was killed
    return 1


def _die_with_the_parent(descriptor: int, private: Path) -> None:
    """Wait for the other end to close, then take down this process group and its folder, whatever the handler does.

    An idle worker leaves by itself within the grace. PR_SET_PDEATHSIG would not do: it fires when the *thread* ends
    that started the child.
    """
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP is always reported
    poll.poll()
    time.sleep(GRACE_S)
    shutil.rmtree(private, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
