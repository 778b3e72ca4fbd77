"""Sign where the audit's chain stands, to be kept on another machine."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.registry import audit_chain
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict


class Command(BaseCommand):
    help = "Seal what waits, and print a signed checkpoint as JSON: keep it where this server's operators cannot write."

    def handle(self, *args: Any, **options: Any) -> None:
        while audit_chain.seal():
            pass
        try:
            made = audit_chain.ask_checkpoint(by=Actor.system(door="shell"))
        except Conflict as error:
            raise CommandError(error.why) from error
        self.stdout.write(json.dumps(made.as_dict()))
