"""Before a start: migrate, load demo data the first time, collect static files, and print what to tell as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_site.settings")

import django  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402

try:
    django.setup()
except ImproperlyConfigured as error:
    sys.exit(str(error))

from django.conf import settings  # noqa: E402
from django.core.checks import WARNING, run_checks  # noqa: E402
from django.core.management import CommandError, call_command  # noqa: E402

from models_app.demo.logins import LOGINS, TOKEN_OWNER  # noqa: E402
from models_app.models import User  # noqa: E402
from models_app.registry.access import Actor  # noqa: E402
from models_app.registry.errors import RegistryError  # noqa: E402
from models_app.registry.people import create_token, find_token  # noqa: E402


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def check() -> None:
    """Say what is wrong with the settings; what nothing can work with ends the start."""
    found = [one for one in run_checks() if one.level >= WARNING and not one.is_silenced()]
    for one in found:
        say(f"{one.id}: {one.msg} {one.hint or ''}".rstrip())
    if any(one.is_serious() for one in found):
        sys.exit(1)


def seed() -> bool:
    """Load the demo data into an empty database; an interrupted load goes on at the next start."""
    marker = settings.HOME / "demo-data"
    state = marker.read_text().strip() if marker.exists() else ""
    if state != "done" and (state == "started" or not User.objects.exists()):
        say("Loading demo data (only now) …")
        marker.write_text("started\n")
        try:
            call_command("seed_demo", verbosity=0, stdout=sys.stderr)
        except CommandError as error:
            sys.exit(f"The demo data is not loaded (DEMO=no starts without): {error}")
        marker.write_text("done\n")
        state = "done"
    return state == "done"


def token() -> str:
    """A token for scripts on this machine, kept where only its owner reads it, renewed when it was revoked."""
    kept = settings.HOME / "script-token"
    if kept.exists():
        secret = kept.read_text().strip()
        try:
            find_token(secret)
        except RegistryError:
            pass
        else:
            return secret
    user = User.objects.filter(username=TOKEN_OWNER).first()
    if user is None:
        return ""
    _, secret = create_token(
        user=user, name="script/server", scopes=["read", "write", "promote"], by=Actor.of(user, door="shell")
    )
    kept.unlink(missing_ok=True)
    with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    return secret


def collect_static() -> None:
    """Only when a file changed: hashing and compressing take longer than the rest of the start."""
    listing = sorted(
        (str(path), found.st_size, found.st_mtime_ns)
        for path in (ROOT / "static").rglob("*")
        if path.is_file() and (found := path.stat())
    )
    constraints = (ROOT / "script/constraints.txt").read_bytes()
    state = hashlib.sha256(repr(listing).encode() + constraints).hexdigest()
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    if stamp.exists() and stamp.read_text() == state:
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0, stdout=sys.stderr)
    stamp.write_text(state)


settings.HOME.mkdir(parents=True, exist_ok=True)
check()
call_command("migrate", interactive=False, verbosity=0, stdout=sys.stderr)
demo = seed() if os.environ.get("DEMO", "yes").lower() not in ("no", "0", "false") else False
if not settings.DEBUG:
    collect_static()
print(
    json.dumps(
        {
            "logins": [dict(login) for login in LOGINS] if demo else [],
            "token": token() if demo else "",
            "anybody": User.objects.exists(),
        }
    )
)
