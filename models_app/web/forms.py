"""Forms of pages: fields and widgets only. The verbs decide what a value may be; their refusals land on the fields."""

from __future__ import annotations

import csv
import io
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.db.models import QuerySet

from models_app.models import NoticeMode, Risk, Role, Scope, Team, Visibility
from models_app.registry.errors import Invalid
from models_app.registry.metadata import VERSION_FIELDS, Field
from models_app.registry.people import SERVICE_ROLES

_CLASSES = {
    forms.CheckboxInput: "form-check-input",
    forms.CheckboxSelectMultiple: "form-check-input",
    forms.Select: "form-select",
}


class PageForm(forms.Form):
    """A form whose widgets carry the classes of our style."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)


def dress(form: forms.BaseForm) -> None:
    """Give each widget its class."""
    for field in form.fields.values():
        field.widget.attrs.setdefault("class", _CLASSES.get(type(field.widget), "form-control"))


class LoginForm(AuthenticationForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)


def _secret(label: str, *, autocomplete: str, help: str = "") -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, widget=widget, strip=False, max_length=4096, help_text=help)


class PasswordForm(PageForm):
    """A new password for oneself, asked for twice."""

    current = _secret("Current password", autocomplete="current-password")
    password = _secret("New password", autocomplete="new-password", help="At least 10 characters.")
    again = _secret("New password again", autocomplete="new-password")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("password") and data.get("again") and data["password"] != data["again"]:
            self.add_error("again", "The two are different.")
        return data


def _code(help: str) -> forms.CharField:
    attrs = {"autocomplete": "one-time-code", "autocapitalize": "off", "spellcheck": "false"}
    return forms.CharField(label="Code", widget=forms.TextInput(attrs), max_length=20, help_text=help)


class CodeForm(PageForm):
    """A code of the second factor."""

    code = _code("The six digits that your app shows now, or one of your recovery codes.")


class SecondFactorForm(PageForm):
    """What turns the second factor on: a code of the app, and the password where there is one."""

    code = _code("The six digits that your app shows now.")
    password = _secret("Your password", autocomplete="current-password")

    def __init__(self, *args: Any, asks_password: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks_password:
            del self.fields["password"]


class Lines(forms.CharField):
    """Text of several lines. Browsers send CRLF whatever was there, which would make every save a change."""

    def to_python(self, value: Any) -> str:
        return super().to_python(value).replace("\r\n", "\n")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.to_python(initial), data)


def _text(
    label: str, *, required: bool = False, help: str = "", rows: int = 0, **attrs: Any
) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": rows, **attrs}) if rows else forms.TextInput(attrs=attrs)
    kind = Lines if rows else forms.CharField
    return kind(label=label, required=required, help_text=help, widget=widget, strip=True)


TAGS_HELP = "Separated by commas; a tag may be a word or key=value. With a comma inside, put it in quotes."


class ModelForm(PageForm):
    """The facts of a registered model."""

    purpose = _text("Purpose", help="One line: what it is for.", maxlength=500)
    task = _text("Task", help="What it does, e.g. image-classification.", maxlength=64)
    library = _text("Library", help="What it is made with, e.g. pytorch.", maxlength=64)
    license = _text(
        "License", help="SPDX expression, e.g. Apache-2.0. New versions take it over.", maxlength=200
    )
    owner = _text("Owner", help="Username of the person who answers for it.", maxlength=150)
    headline_metric = _text("Headline metric", help="The metric one judges it by, e.g. f1.", maxlength=250)
    tags = _text("Tags", help=TAGS_HELP, rows=2)
    risk_level = forms.ChoiceField(label="Risk level", choices=Risk.choices, required=False)
    visibility = forms.ChoiceField(label="Who may see it", choices=Visibility.choices)
    card = _text(
        "Card",
        help="Markdown: what it does, how it was trained, where it fails. Front matter between lines of --- at the top "
        "sets license, task, library and tags.",
        rows=20,
    )

    def values(self) -> dict[str, Any]:
        """What the verbs take."""
        values = {name: self.cleaned_data[name] for name in self.fields if name in self.cleaned_data}
        values["tags"] = tags_from(values.get("tags", ""))
        return values

    def changes(self) -> dict[str, Any]:
        """What the verbs take, only where something else was typed than was there."""
        return {name: value for name, value in self.values().items() if name in self.changed_data}


class RegisterForm(ModelForm):
    """A new model."""

    name = _text("Name", required=True, help="team/name, or a plain name.", maxlength=256, autofocus=True)
    field_order = ("name",)

    def values(self) -> dict[str, Any]:
        return {name: value for name, value in super().values().items() if name != "name"}


def tags_from(text: str) -> dict[str, str]:
    """`a, b=c, "d=e,f"` → {a: "", b: c, d: e,f}."""
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        pairs = [item.strip().partition("=") for row in rows for item in row]
    except csv.Error as error:
        raise Invalid("tags", "One of them is too long.") from error
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip()}


def tags_to(tags: dict[str, str]) -> str:
    """The other way round."""
    items = (f"{key}={value}" if value else key for key, value in tags.items())
    return ", ".join(_quoted(item) if any(char in item for char in ',"\r\n') else item for item in items)


def _quoted(item: str) -> str:
    return '"' + item.replace('"', '""') + '"'


class RenameForm(PageForm):
    to = _text("New name", required=True, help="The old name leads here from then on.", maxlength=256)


class DeleteForm(PageForm):
    """Deleting takes typing the name."""

    confirm = _text("Type the model's name to confirm", required=True, autocomplete="off")
    reason = _text("Reason", help="Kept in the audit record.", maxlength=2000)

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_confirm(self) -> str:
        if self.cleaned_data["confirm"] != self.name:
            raise forms.ValidationError(f"Type “{self.name}” exactly.")
        return self.name


class ReasonForm(PageForm):
    reason = _text("Reason", help="Whoever reads the history later will ask why.", rows=3, maxlength=2000)


class ProfileForm(PageForm):
    first_name = _text("First name", maxlength=150, autocomplete="given-name")
    last_name = _text("Last name", maxlength=150, autocomplete="family-name")
    email = forms.CharField(
        label="E-mail",
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        max_length=254,
    )
    notice_mode = forms.ChoiceField(
        label="Mail about approvals",
        choices=NoticeMode.choices,
        help_text="Requests that wait for you, what becomes of yours, and what your models go through. Emergencies are "
        "always told at once, unless you choose not at all.",
    )
    default_team = forms.ModelChoiceField(
        Team.objects.none(),
        label="Default team",
        required=False,
        empty_label="None",
        help_text="Owns what you register under a plain name, without team/ before it.",
    )
    hotkeys = forms.BooleanField(label="Single-key shortcuts on pages", required=False)

    def __init__(self, *args: Any, teams: QuerySet[Team], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["default_team"].queryset = teams  # type: ignore[attr-defined]
        if not settings.MAIL_IS_ON:
            self.fields[
                "notice_mode"
            ].help_text = "This site sends no mail yet: MODELRY_EMAIL_URL is not set."


LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Does not expire")]


class TokenForm(PageForm):
    name = _text("Name", required=True, help="What it is for, e.g. “nightly training”.", maxlength=100)
    scopes = forms.MultipleChoiceField(
        label="May be used to",
        choices=[
            (Scope.READ, "read: search, look, download"),
            (Scope.WRITE, "write: register models and versions, log runs, edit"),
            (Scope.PROMOTE, "promote: move to production, roll back"),
        ],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.ChoiceField(label="Lives for", choices=LIFETIMES, required=False, initial="90")


class TeamForm(PageForm):
    name = _text("Name", required=True, maxlength=128)
    description = _text("Description", rows=3, maxlength=2000)


class MemberForm(PageForm):
    username = _text("Username", required=True, maxlength=150)
    role = forms.ChoiceField(label="Role", choices=Role.choices)


class ServiceAccountForm(PageForm):
    name = _text("Name", required=True, help="Letters, digits and @ . + - _", maxlength=150)
    role = forms.ChoiceField(label="Role", choices=[(role.value, role.label) for role in SERVICE_ROLES])


class LeavingForm(PageForm):
    heir = _text(
        "Heir", help="Username of who takes over; needs a role in the teams that registers.", maxlength=150
    )
    heirs = _text("Other heirs", rows=3, help="One model a line: team/model=username.", maxlength=100_000)
    take_over_roles = forms.BooleanField(
        label="The heir becomes what this person alone is in a team", required=False
    )
    reason = _text("Reason", maxlength=2000)

    def clean_heirs(self) -> dict[str, str]:
        lines = [line.strip() for line in self.cleaned_data["heirs"].splitlines() if line.strip()]
        if any(not all(part.strip() for part in line.partition("=")) for line in lines):
            raise forms.ValidationError("One model a line: team/model=username.")
        return {name.strip(): who.strip() for name, _, who in (line.rpartition("=") for line in lines)}


def version_field(field: Field) -> forms.Field:
    """The form field of a metadata field."""
    from models_app.models import PiiUsage

    if field.kind == "choice":
        return forms.ChoiceField(
            label=field.label, help_text=field.help, choices=PiiUsage.choices, required=False
        )
    rows = {"long": 4, "json": 6}.get(field.kind, 0)
    attrs = {"inputmode": "url"} if field.kind == "url" else {}
    return _text(field.label, help=field.help, rows=rows, **attrs)


def version_fields() -> dict[str, forms.Field]:
    """Form fields for every writable column of a version."""
    return {name: version_field(field) for name, field in VERSION_FIELDS.items()}
