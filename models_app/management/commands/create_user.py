"""Make a person, the first site admin for one."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.models import Role, Team
from models_app.registry.access import Actor
from models_app.registry.errors import RegistryError
from models_app.registry.people import create_user, set_role


class Command(BaseCommand):
    help = "Make a person. The password is asked for, or read from standard input when that is no terminal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", default="")
        parser.add_argument("--site-admin", action="store_true")
        parser.add_argument(
            "--role", action="append", default=[], metavar="TEAM:ROLE", help="May be repeated."
        )
        parser.add_argument("--no-password", action="store_true", help="For automations, which use tokens.")

    def handle(
        self,
        *args: Any,
        username: str,
        email: str,
        site_admin: bool,
        role: list[str],
        no_password: bool,
        **options: Any,
    ) -> None:
        by = Actor.system(door="shell")
        password = None if no_password else self._ask()
        try:
            roles = [self._role(text) for text in role]
            user = create_user(username, email=email, password=password, is_site_admin=site_admin, by=by)
            for team, name in roles:
                set_role(team, user=user, role=name, by=by)
        except RegistryError as error:
            raise CommandError(error.why) from error
        self.stdout.write(f"{username} is made.")

    def _ask(self) -> str:
        if sys.stdin.isatty():
            return getpass.getpass("Password: ")
        password = sys.stdin.readline().rstrip("\n")
        if not password:
            raise CommandError("Send the password on standard input, or say --no-password.")
        return password

    def _role(self, text: str) -> tuple[Team, str]:
        slug, _, name = text.partition(":")
        team = Team.objects.filter(slug=slug).first()
        if team is None or name not in Role.values:
            raise CommandError(
                f"“{text}”: write TEAM:ROLE with a team that exists and one of {', '.join(Role.values)}."
            )
        return team, name
