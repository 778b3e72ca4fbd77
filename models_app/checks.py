"""System checks: what Django's own cannot know about a registry that goes to production."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register


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


@register(Tags.security, deploy=True)
def artifacts_survive_a_restart(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Artifacts in memory are gone with the process that took them."""
    if "stores.memory." not in settings.STORAGES["artifacts"]["BACKEND"]:
        return []
    return [
        Error(
            "Artifact storage is in memory.",
            hint="Set MODELRY_ARTIFACTS, see docs/storage.md.",
            id="modelry.E001",
        )
    ]
