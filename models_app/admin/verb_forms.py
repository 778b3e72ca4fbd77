"""Rows that are saved through a verb, as their form is checked: what it refuses stands beside the field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from models_app.registry.errors import Forbidden, Invalid, RegistryError

from .base import RegistryAdmin, refused, tell_refusal


class VerbForm(forms.ModelForm):
    """A form whose `act` calls the verb."""

    request: HttpRequest

    def act(self, data: dict[str, Any]) -> Any:
        """Call the verb with what was typed; returns the row."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        try:
            self.instance = self.act(data)
        except Invalid as error:
            for problem in error.problems:
                self.add_error(problem.field if problem.field in self.fields else None, problem.message)
        except RegistryError as error:
            if isinstance(error, Forbidden):
                # The form tells it; the audit has to as well.
                tell_refusal(self.request, error)
            self.add_error(None, refused(error))
        return data

    def _post_clean(self) -> None:
        """The verb has said all there is to say."""

    def save(self, commit: bool = True) -> Any:
        return self.instance

    def save_m2m(self) -> None:
        """There is none."""


class VerbFormAdmin(RegistryAdmin):
    """A table whose `form` is a VerbForm."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change=change, **options)
        return type(form.__name__, (form,), {"request": request})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form has called the verb."""
