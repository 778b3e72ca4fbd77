"""Words of the demo company: model cards and notes on personal data."""

from __future__ import annotations

from models_app.formats import model_card
from models_app.registry.card_sync import license_for_hub
from models_app.registry.metrics import higher_is_better

from .story import TEAMS, Story

PII_NOTES = {
    "none": "",
    "pseudonymous": "Customer ids are hashed with a key of the data platform; the key is not known here.",
    "personal": "Trained on records of persons, access limited to the team; deleted after 24 months.",
    "sensitive": "Special categories of data; the data protection officer keeps the impact assessment.",
}


def card(story: Story) -> str:
    """The model card in Markdown. Versions fill in the empty keys of its front matter."""
    first = next(iter(story.metrics))
    rows = "\n".join(f"| {name} | {_way(name)} | {story.dataset}, test |" for name in story.metrics)
    personal = PII_NOTES[story.pii] or "No personal data."
    return f"""\
---
{_front_matter(story)}---

# {story.short_name.replace("-", " ").capitalize()}

{story.purpose}

## What it does

{story.does}

## Intended use

Used by the {TEAMS[story.team][0]} team in production. Others may use it after asking the owner. It is not
made for decisions about people beyond what is described here.

## Data

Trained on **{story.dataset}**, a monthly snapshot ({story.data_license}). {personal}

## Evaluation

| Metric | Direction | Data |
| --- | --- | --- |
{rows}

We judge it by **{first}**. A version goes to production when it is no worse than its predecessor on the same data.

## Limits

{story.limits}

## Fairness

{story.fairness or "No decisions about people; nothing was tested."}

## Maintenance

Trained every month by the nightly job. Report problems in the channel of the team.
"""


def _front_matter(story: Story) -> str:
    words = [tag for tag in story.tags if "=" not in tag]
    return model_card.block(
        {
            **license_for_hub(story.license),
            "pipeline_tag": story.task,
            "library_name": story.library,
            **({"tags": words} if words else {}),
            "metrics": list(story.metrics),
            "datasets": None,
            **({"base_model": None} if story.base else {}),
            "model-index": None,
        }
    ).replace(": null\n", ":\n")


def _way(metric: str) -> str:
    higher = higher_is_better(metric)
    return "" if higher is None else "higher is better" if higher else "lower is better"
