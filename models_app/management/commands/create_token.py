"""Print a new token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from models_app.models import Scope, User
from models_app.registry.access import Actor
from models_app.registry.errors import RegistryError
from models_app.registry.people import create_token


class Command(BaseCommand):
    help = "Make a token for a person and print it, and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--scopes", default="read", help=f"Any of {','.join(Scope.values)}, separated by commas."
        )
        parser.add_argument("--name", default="command line")
        parser.add_argument("--days", type=int, help="How long it lives; without it, for ever.")

    def handle(
        self, *args: Any, username: str, scopes: str, name: str, days: int | None, **options: Any
    ) -> None:
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active person “{username}”.")
        expires = timezone.now() + timedelta(days=days) if days is not None else None
        chosen = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        try:
            _, secret = create_token(
                user=user, name=name, scopes=chosen, expires_at=expires, by=Actor.system(door="shell")
            )
        except RegistryError as error:
            raise CommandError(error.why) from error
        self.stdout.write(secret)
