"""Every verb's calls: verb of docs/permissions.md → door → what is sent. A new verb: an entry here, a row there.

`{words}` stand for the ids of World. A door with several calls for one verb lists them: all do what the row says.
"""

from __future__ import annotations

from .deployment_calls import DEPLOYMENTS
from .other_calls import OTHER
from .registry_calls import REGISTRY
from .sending import Call

CALLS: dict[str, dict[str, list[Call]]] = REGISTRY | DEPLOYMENTS | OTHER
