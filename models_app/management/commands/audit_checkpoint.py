"""Sign where the audit's chain stands, to be kept on another machine."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.registry import audit_chain


class Command(BaseCommand):
    help = "Seal what waits, and print a signed checkpoint as JSON: keep it where this server's operators cannot write."

    def handle(self, *args: Any, **options: Any) -> None:
        while audit_chain.seal():
            pass
        made = audit_chain.checkpoint()
        if made is None:
            raise CommandError("Nothing is sealed yet.")
        self.stdout.write(json.dumps(made.as_dict()))
