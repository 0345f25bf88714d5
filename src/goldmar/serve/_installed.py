"""What is installed for one interpreter, told by itself: run by path or as text, so the standard library has to do."""

import json
import os
import platform
import sys
from importlib import metadata
from typing import Any


def installed() -> dict[str, Any]:
    """Versions, requirements and modules of every distribution, and the environment that markers are held against.

    Of two distributions of a name the first on sys.path counts, as it does for an import. Format of the environment:
    the dependency specifiers of the PyPA specifications.
    """
    versions: dict[str, str] = {}
    requires: dict[str, list[str]] = {}
    for found in metadata.distributions():
        if found.name and found.name not in versions:
            versions[found.name], requires[found.name] = found.version, found.requires or []
    return {
        "versions": versions,
        "requires": requires,
        "modules": {module: sorted(set(names)) for module, names in metadata.packages_distributions().items()},
        "environment": {
            "implementation_name": sys.implementation.name,
            "implementation_version": platform.python_version(),
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_python_implementation": platform.python_implementation(),
            "platform_release": platform.release(),
            "platform_system": platform.system(),
            "platform_version": platform.version(),
            "python_full_version": platform.python_version(),
            "python_version": ".".join(platform.python_version_tuple()[:2]),
            "sys_platform": sys.platform,
        },
    }


if __name__ == "__main__":
    print(json.dumps(installed()))
