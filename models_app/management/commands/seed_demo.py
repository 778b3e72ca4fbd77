"""Load the demo company."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from models_app.demo import loader
from models_app.demo.logins import LOGINS
from models_app.registry.errors import RegistryError, Unavailable


class Command(BaseCommand):
    help = "Load a believable company of about 30 models, 5 teams and 150 versions. Does nothing when it is there."

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("Demo people have a known password: not with MODELRY_PRODUCTION on.")
        if loader.is_loaded():
            if verbosity:
                self.stdout.write("The demo company is here already.")
            return
        try:
            loader.load(progress=self._progress if verbosity else lambda done, total: None)
        except Unavailable as error:
            raise CommandError(f"{error.why} {error.next_step}") from error
        except RegistryError as error:
            raise CommandError(f"{error.why} Load the demo into an empty database.") from error
        if verbosity:
            self.stdout.write("")
            for login in LOGINS:
                self.stdout.write(f"{login['username']:<12} {login['password']:<14} {login['role']}")

    def _progress(self, done: int, total: int) -> None:
        self.stdout.write(f"\rmodels {done}/{total}", ending="")
        self.stdout.flush()
