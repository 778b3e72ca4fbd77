"""One-time codes as a second factor: time-based ones (RFC 6238) and recovery codes, kept by allauth, secrets encrypted.

A code is taken once: what counts is the newest time step that was used, whatever the clock does.
"""

from __future__ import annotations

import hmac
from contextlib import suppress

from allauth.mfa.adapter import DefaultMFAAdapter  # type: ignore[import-untyped]
from allauth.mfa.models import Authenticator  # type: ignore[import-untyped]
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes  # type: ignore[import-untyped]
from allauth.mfa.totp.internal.auth import (  # type: ignore[import-untyped]
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.conf import settings
from django.db import transaction

from models_app.models import User

from . import audit, secrets, sessions
from .access import RIGHTS, Actor, Right, require
from .errors import Conflict, Damaged, Forbidden, Invalid

TOTP, RECOVERY = Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES
REQUIRED_OF = ("", "admins", "approvers", "all")


class Adapter(DefaultMFAAdapter):
    """How allauth keeps what it has to read again, and what apps show of it."""

    def encrypt(self, text: str) -> str:
        return secrets.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.decrypt(encrypted_text)

    def get_totp_label(self, user: User) -> str:
        return user.get_username()

    def get_totp_issuer(self) -> str:
        return f"Modelry {self._get_site_name()}"


def is_on(user: User) -> bool:
    """Whether this person's login asks for a code."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type=TOTP).exists())


def is_asked_at_login(user: User, *, sso: bool) -> bool:
    """Whether this login takes a code too. After single sign-on that is the provider's matter, unless the site says
    otherwise.
    """
    return (settings.TOTP_AFTER_SSO or not sso) and is_on(user)


def is_missing(actor: Actor, *, sso: bool) -> bool:
    """Whether the site demands a second factor of whoever came in by this login, and there is none."""
    if actor.user is None or (sso and not settings.TOTP_AFTER_SSO):
        return False
    return is_required(actor) and not is_on(actor.user)


def is_required(actor: Actor) -> bool:
    """Whether the site demands a second factor of this person."""
    wanted = settings.REQUIRE_TOTP
    if not wanted or actor.user is None:
        return False
    if wanted == "all" or actor.is_site_admin:
        return True
    decisive = Right.PROMOTE if wanted == "approvers" else Right.MANAGE_TEAM
    return any(decisive in RIGHTS[role] for role in actor.roles.values())


def new_secret() -> str:
    """160 random bits in base 32, for an authenticator app."""
    return str(generate_totp_secret())


def address_for_apps(user: User, secret: str) -> str:
    """What the picture says: an otpauth:// address."""
    return str(Adapter().build_totp_url(user, secret))


def picture(address: str) -> str:
    """The address as a QR code: an svg element."""
    return str(Adapter().build_totp_svg(address)).partition("?>")[2].strip()


def _step(secret: str, code: str, *, after: int) -> int | None:
    """The time step whose code this is, one before and one after now allowed; None for a wrong or a used one."""
    plain = code.replace(" ", "")
    found = None
    for step in yield_hotp_counters_from_time():
        fits = hmac.compare_digest(format_hotp_value(hotp_value(secret, step)).encode(), plain.encode())
        if fits and step > after:
            found = step
    return found


@transaction.atomic
def set_up(user: User, *, secret: str, code: str, by: Actor) -> list[str]:
    """Turn it on with a secret that the person's app shows codes of; returns the recovery codes, shown once.

    Raises Invalid("code"), Conflict when it is on already.
    """
    _require_self(user, by)
    User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    if is_on(user):
        raise Conflict("The second factor is on already.")
    step = _step(secret, code, after=0)
    if step is None:
        raise Invalid(
            "code", "This is not the code of now. Check the clock of your device and try the next one."
        )
    data = {"secret": secrets.encrypt(secret), "used_step": step}
    Authenticator.objects.create(user=user, type=TOTP, data=data)
    audit.record("second_factor.added", by=by, subject=user.username)
    return _new_codes(user)


@transaction.atomic
def is_right(user: User, code: str) -> str | None:
    """Use up a code of the app or a recovery code: returns which kind it was, None for a wrong or a used one."""
    rows = Authenticator.objects.select_for_update().filter(user_id=user.pk)
    of_kind = {row.type: row for row in rows}
    totp = of_kind.get(TOTP)
    if totp is not None:
        step = _step(secrets.decrypt(totp.data["secret"]), code, after=totp.data.get("used_step", 0))
        if step is not None:
            totp.data["used_step"] = step
            totp.record_usage()
            totp.save(update_fields=["data"])
            return str(TOTP)
    recovery = of_kind.get(RECOVERY)
    if (
        totp is not None
        and recovery is not None
        and RecoveryCodes(recovery).validate_code(code.replace(" ", ""))
    ):
        return str(RECOVERY)
    return None


def codes_left(user: User) -> int:
    """How many recovery codes have not been used."""
    row = Authenticator.objects.filter(user_id=user.pk, type=RECOVERY).first()
    return len(RecoveryCodes(row).get_unused_codes()) if row else 0


@transaction.atomic
def renew_codes(user: User, *, by: Actor) -> list[str]:
    """New recovery codes in the place of the former. Raises Conflict when the second factor is off."""
    _require_self(user, by)
    if not is_on(user):
        raise Conflict("The second factor is off.")
    audit.record("second_factor.codes_renewed", by=by, subject=user.username)
    return _new_codes(user)


@transaction.atomic
def turn_off(user: User, *, by: Actor) -> None:
    """Take one's own away. Raises Forbidden where the site demands it."""
    _require_self(user, by)
    if is_required(by):
        raise Forbidden("Your role needs a second factor here.", next_step="Ask a site admin to reset it.")
    if _forget(user):
        audit.record("second_factor.removed", by=by, subject=user.username)


@transaction.atomic
def reset(user: User, *, by: Actor) -> bool:
    """Take somebody's away who lost the device, and end all sessions; the next login asks for the password alone.

    Site admins only. Returns whether there was one.
    """
    require(by, Right.MANAGE_TEAM, None)
    if not _forget(user):
        return False
    audit.record("second_factor.reset", by=by, subject=user.username)
    sessions.end_all(user, by=by)
    return True


def renew_secrets() -> int:
    """Encrypt anew what is encrypted with a former secret key; returns how many."""
    count = 0
    for pk, kind in list(Authenticator.objects.values_list("pk", "type")):
        key = "secret" if kind == TOTP else "seed"
        with suppress(Damaged), transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            renewed = secrets.renewed(row.data.get(key, "")) if row else None
            if row and renewed is not None:
                row.data[key] = renewed
                row.save(update_fields=["data"])
                count += 1
    return count


def _new_codes(user: User) -> list[str]:
    Authenticator.objects.filter(user_id=user.pk, type=RECOVERY).delete()
    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    return codes


def _forget(user: User) -> bool:
    count, _ = Authenticator.objects.filter(user_id=user.pk).delete()
    return bool(count)


def _require_self(user: User, by: Actor) -> None:
    if by.user is None or by.user.pk != user.pk or by.scopes is not None:
        raise Forbidden("Only you change your second factor, logged in with your browser.")
