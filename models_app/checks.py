"""System checks: what Django's own cannot know about a registry that goes to production."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from models_app.registry.artifacts.storage import store
from registry_site.artifacts import how_to_use


@register(Tags.security, deploy=True)
def production_is_declared(app_configs: Any, **kwargs: Any) -> list[Warning]:
    """`check --deploy` without MODELRY_PRODUCTION checks settings nobody will run."""
    if settings.PRODUCTION:
        return []
    return [Warning("MODELRY_PRODUCTION is off.", hint="Set MODELRY_PRODUCTION=true.", id="modelry.W001")]


@register(Tags.security, deploy=True)
def mails_lead_here(app_configs: Any, **kwargs: Any) -> list[Warning]:
    """A mail is written where nobody asked by an address that could be taken over."""
    if settings.PUBLIC_URL or not settings.MAIL_IS_ON:
        return []
    return [Warning("Links in mails lead to localhost.", hint="Set MODELRY_PUBLIC_URL.", id="modelry.W002")]


@register
def artifacts_have_a_place(app_configs: Any, **kwargs: Any) -> list[Error | Warning]:
    """Libraries of object stores come with extras of their own, so they may be absent; credentials may be too."""
    try:
        missing, obstacle = store().credentials_missing(), store().obstacle()
    except ImproperlyConfigured as error:
        hint = how_to_use(_backend())
        return [Error(f"Artifact storage cannot be used: {error}", hint=hint, id="modelry.E002")]
    if obstacle:
        hint = "Set MODELRY_ARTIFACTS to a folder that Modelry may write to."
        return [Error(f"Artifacts cannot be kept: {obstacle}.", hint=hint, id="modelry.E007")]
    if missing:
        hint = f"Give web processes and worker {missing}; see docs/storage.md."
        return [Warning("Artifact storage has no credentials.", hint=hint, id="modelry.W003")]
    return []


def _backend() -> str:
    return str(settings.STORAGES["artifacts"]["BACKEND"])


@register(Tags.security, deploy=True)
def artifacts_survive_a_restart(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Artifacts in memory are gone with the process that took them."""
    if ".memory." not in _backend():
        return []
    return [
        Error(
            "Artifact storage is in memory.",
            hint="Set MODELRY_ARTIFACTS, see docs/storage.md.",
            id="modelry.E001",
        )
    ]


@register()
def single_sign_on_is_whole(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Half of it set up lets nobody in, or gives nobody the roles that were meant."""
    from models_app.registry.sso import mapping

    found = []
    if settings.OIDC_ISSUER and not (settings.OIDC_CLIENT_ID and settings.OIDC_CLIENT_SECRET):
        found.append(
            Error(
                "MODELRY_OIDC_ISSUER is set, but not how Modelry is known there.",
                hint="Set MODELRY_OIDC_CLIENT_ID and MODELRY_OIDC_CLIENT_SECRET.",
                id="modelry.E006",
            )
        )
    if settings.OIDC_ONLY and not settings.OIDC_ISSUER:
        found.append(
            Error("MODELRY_OIDC_ONLY without a provider.", hint="Set MODELRY_OIDC_ISSUER.", id="modelry.E003")
        )
    try:
        mapping(settings.OIDC_GROUPS)
    except (ValueError, TypeError, AttributeError) as error:
        found.append(Error(f"MODELRY_OIDC_GROUPS: {error}", hint="See docs/identity.md.", id="modelry.E004"))
    return found


@register()
def second_factor_is_demanded_of_somebody(app_configs: Any, **kwargs: Any) -> list[Error]:
    """A misspelt word would demand it of nobody."""
    from models_app.registry.second_factor import REQUIRED_OF

    if settings.REQUIRE_TOTP in REQUIRED_OF:
        return []
    hint = f"One of {', '.join(REQUIRED_OF[1:])}, or nothing."
    return [Error(f"MODELRY_REQUIRE_TOTP is “{settings.REQUIRE_TOTP}”.", hint=hint, id="modelry.E005")]
