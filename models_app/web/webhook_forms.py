"""Forms of webhooks. The verbs say what may be in them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.html import format_html

from models_app.models import Stage, Team, Webhook, WebhookKind, WebhookScheme
from models_app.registry import hook_events, standard_events

from .forms import Lines, PageForm

# Of each kind of receiver, what its address is.
ADDRESSES = {
    WebhookKind.GITHUB.value: "https://api.github.com/repos/OWNER/REPOSITORY/dispatches or your own GitHub's",
    WebhookKind.GITLAB.value: "https://gitlab.example.com/api/v4/projects/ID/trigger/pipeline",
    WebhookKind.SLACK.value: "That of the chat's incoming webhook.",
}
LIFETIMES = [("24", "24 hours"), ("1", "1 hour"), ("168", "7 days"), ("0", "No longer")]


class WebhookForm(PageForm):
    """A webhook, new or changed; which fields there are depends on its kind and scheme."""

    kind = forms.ChoiceField(choices=WebhookKind.choices, widget=forms.HiddenInput)
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
    )
    secret = forms.CharField(
        label="Token",
        required=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
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
        help_text="Of moves from or to them, of deployments where they are followed. What concerns no stage is sent "
        "all the same.",
    )
    environments = forms.MultipleChoiceField(
        label="Only these environments",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Of deployments and incidents there. A hook that starts a pipeline names the environments that the "
        "pipeline deploys to. What concerns no environment is sent all the same.",
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
        environments: Iterable[str] = (),
        **options: Any,
    ) -> None:
        if hook is not None:
            options.setdefault("initial", _values(hook))
        super().__init__(*args, **options)
        scheme = hook.scheme if hook else WebhookScheme.STANDARD.value
        self.fields["events"].choices = events_of(scheme)  # type: ignore[attr-defined]
        places = dict.fromkeys([*(hook.environments if hook else ()), *environments])
        self.fields["environments"].choices = [(name, name) for name in places]  # type: ignore[attr-defined]
        unfit = set() if places else {"environments"}
        if hook is not None:
            unfit |= {"kind", "team"}
        elif teams is not None:
            team = self.fields["team"]
            team.queryset, team.required = teams, not everywhere  # type: ignore[attr-defined]
            team.empty_label = "Every team" if everywhere else None  # type: ignore[attr-defined]
        for name in unfit:
            del self.fields[name]
        self._fit(hook.kind if hook else self["kind"].value(), hook)

    def _fit(self, kind: str, hook: Webhook | None) -> None:
        """Leave out what this kind of receiver has not."""
        has_token = kind in (WebhookKind.GITHUB, WebhookKind.GITLAB)
        self.fields["url"].help_text = ADDRESSES.get(kind, "")
        if kind == WebhookKind.GITLAB:
            self.fields["ref"].required = True
        else:
            del self.fields["ref"]
        # Those that sign are given a secret when they are made, and a new one on the page of the hook.
        if not has_token and (hook is None or hook.scheme != WebhookScheme.MLFLOW):
            del self.fields["secret"]
        elif hook is None:
            self.fields["secret"].required = True
        else:
            self.fields["secret"].label = "New token" if has_token else "New secret"
            self.fields["secret"].help_text = "Empty: it stays as it is."

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
        "environments": hook.environments,
        "description": hook.description,
    }


def events_of(scheme: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Names of events, each with when it is sent, by what they are about."""
    names = list(hook_events.examples(scheme))
    return [
        (about.replace("_", " ").capitalize(), [(name, _described(name)) for name in group])
        for about, group in groupby(names, key=lambda name: name.partition(".")[0])
    ]


def _described(name: str) -> str:
    event = standard_events.EVENTS.get(name)
    if event is None:
        return name
    when = event.when.replace("`", "")
    return format_html(
        '<span><span class="mono">{}</span> <span class="muted small">{}</span></span>', name, when
    )


class RotateForm(PageForm):
    hours = forms.TypedChoiceField(
        label="The former secret goes on signing for", choices=LIFETIMES, coerce=int, initial="24"
    )
