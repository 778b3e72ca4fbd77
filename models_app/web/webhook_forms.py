"""Forms of webhooks. The verbs say what may be in them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django import forms
from django.db.models import QuerySet

from models_app.models import Stage, Team, Webhook, WebhookKind, WebhookScheme
from models_app.registry import hook_events

from .forms import Lines, PageForm

LIFETIMES = [("24", "24 hours"), ("1", "1 hour"), ("168", "7 days"), ("0", "No longer")]


class WebhookForm(PageForm):
    """A webhook, new or changed; which fields there are depends on its kind and scheme."""

    kind = forms.ChoiceField(label="What receives", choices=WebhookKind.choices)
    name = forms.CharField(label="Name", max_length=63)
    team = forms.ModelChoiceField(
        Team.objects.none(),
        label="Hears of models of",
        to_field_name="slug",
        required=False,
        empty_label="Every team",
    )
    url = forms.CharField(
        label="Address",
        max_length=2000,
        widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false"}),
        help_text="GitHub: …/repos/OWNER/REPOSITORY/dispatches. GitLab: …/projects/ID/trigger/pipeline. A chat: what "
        "its incoming webhook is called by.",
    )
    secret = forms.CharField(
        label="Token",
        required=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="What GitHub or GitLab is called with. Other receivers check signatures: their secret is made here.",
    )
    ref = forms.CharField(
        label="Branch or tag", required=False, max_length=255, help_text="Of GitLab's pipeline."
    )
    events = forms.MultipleChoiceField(label="Events", widget=forms.CheckboxSelectMultiple)
    models = Lines(
        label="Only these models",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One pattern a line, such as risk/* or */fraud-*.",
    )
    stages = forms.MultipleChoiceField(
        label="Only these stages",
        choices=Stage.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Events that concern no stage are sent all the same.",
    )
    description = Lines(
        label="Description", required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(
        self,
        *args: Any,
        teams: QuerySet[Team] | None = None,
        everywhere: bool = False,
        hook: Webhook | None = None,
        **options: Any,
    ) -> None:
        if hook is not None:
            options.setdefault("initial", _values(hook))
        super().__init__(*args, **options)
        scheme = hook.scheme if hook else WebhookScheme.STANDARD.value
        self.fields["events"].choices = events_of(scheme)  # type: ignore[attr-defined]
        if hook is not None:
            self._fit(hook)
        elif teams is not None:
            team = self.fields["team"]
            team.queryset, team.required = teams, not everywhere  # type: ignore[attr-defined]
            team.empty_label = "Every team" if everywhere else None  # type: ignore[attr-defined]

    def _fit(self, hook: Webhook) -> None:
        """Leave out what cannot be changed or what its kind has not."""
        has_token = hook.kind in (WebhookKind.GITHUB, WebhookKind.GITLAB)
        unfit = {"kind", "team"}
        unfit |= set() if hook.kind == WebhookKind.GITLAB else {"ref"}
        # Those that sign are given a new secret on the page of the hook.
        unfit |= set() if has_token or hook.scheme == WebhookScheme.MLFLOW else {"secret"}
        for name in unfit:
            del self.fields[name]
        if "secret" in self.fields:
            self.fields["secret"].label = "New token" if has_token else "New secret"
            self.fields["secret"].help_text = "Empty: it stays as it is."
        if hook.kind == WebhookKind.GENERIC:
            self.fields["url"].help_text = ""

    def wanted(self) -> dict[str, Any]:
        """What was typed, as the verbs take it."""
        typed = {**self.cleaned_data, "models": self.cleaned_data["models"].splitlines()}
        if not typed.get("secret"):
            typed.pop("secret", None)
        return typed


def _values(hook: Webhook) -> dict[str, Any]:
    return {
        "name": hook.name,
        "url": hook.url,
        "ref": hook.ref,
        "events": hook.events,
        "models": "\n".join(hook.model_patterns),
        "stages": hook.stages,
        "description": hook.description,
    }


def events_of(scheme: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Names of events, by what they are about."""
    names = list(hook_events.examples(scheme))
    return [
        (about.replace("_", " ").capitalize(), [(name, name) for name in group])
        for about, group in groupby(names, key=lambda name: name.partition(".")[0])
    ]


class RotateForm(PageForm):
    hours = forms.TypedChoiceField(
        label="The former secret goes on signing for", choices=LIFETIMES, coerce=int, initial="24"
    )
