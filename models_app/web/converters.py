"""Parts of addresses: names of models and revisions."""

from __future__ import annotations

from django.urls import register_converter


class ModelName:
    """One or two segments without `@`: `fraud` or `risk/fraud`."""

    regex = r"[^/@]+(?:/[^/@]+)?"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class Revision:
    """What stands after `@`: a number, a stage, an alias or `latest`."""

    regex = r"[^/@]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str | int) -> str:
        return str(value)


def register() -> None:
    register_converter(ModelName, "model")
    register_converter(Revision, "rev")
