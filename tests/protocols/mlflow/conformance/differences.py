"""Where Modelry deliberately answers otherwise than MLflow's own server, and why: docs/mlflow.md lists them."""

from __future__ import annotations

# key → (what is different, why)
DIFFERENCES: dict[str, tuple[str, str]] = {
    "no 500": (
        "What a caller did wrong is answered 400 where the original answers 500.",
        "The client repeats a call for minutes on 500.",
    ),
    "names": (
        "Names of models have at most 256 characters, no control characters, no slash, colon, `@` or backslash.",
        "They are addresses of pages and files here; on PostgreSQL the original fails on the same with a 500.",
    ),
    "strict filters": (
        "Filters that are no sentence of the language (conditions without AND between them, an empty key) are refused.",
        "The original drops what it does not understand, so that a search finds more than was asked for.",
    ),
    "strict words": (
        "Words that a field does not know (a status, a view) and values of a wrong type are refused.",
        "The original drops them silently, and does something else than it was told.",
    ),
    "taken names": (
        "Renaming to a name that is taken is RESOURCE_ALREADY_EXISTS for experiments too.",
        "The original lets the database complain: BAD_REQUEST with its SQL in the message.",
    ),
    "codes": (
        "A missing field is INVALID_PARAMETER_VALUE everywhere.",
        "In some calls the original lets the database complain: BAD_REQUEST with its SQL in the message.",
    ),
    "folders": (
        "Getting a folder as if it were a file is 404 RESOURCE_DOES_NOT_EXIST.",
        "Some storages of the original say so, others 400 in a shape of their own; clients take 404.",
    ),
    "backslashes": (
        "A backslash in a path of files is refused.",
        "It would be a folder on Windows.",
    ),
    "in parts": (
        "Uploads in parts and signed downloads work on a disk too, on addresses of this server.",
        "Large models move in parallel and go on after an interruption. The original has them for object stores only.",
    ),
    "no call": (
        "A call that does not exist is answered in the protocol's shape with ENDPOINT_NOT_FOUND.",
        "The original answers a page of HTML, which clients show as it is.",
    ),
    "former names": (
        "A renamed model is found by its former name too, until another takes it.",
        "Code that has the old name in it goes on working.",
    ),
    "still needed": (
        "A version that an alias points at is not deleted.",
        "Somebody loads it by that name. Move or delete the alias first.",
    ),
    "sources": (
        "A version's source must have files here, or be an address of another storage. Run and logged model need not "
        "be repeated in `run_id` and `model_id`: the source says them.",
        "A version is sealed with its files when it is registered. Addresses elsewhere are only noted: this server "
        "never connects there.",
    ),
    "numbers as texts": (
        "Where a text is asked for a number is taken, and the text `true` for true, if there is no doubt.",
        "Clients in other languages send them so.",
    ),
    "aliases": (
        "An alias has letters a to z, digits, `_`, `-` and `.`; numbers and names of stages are none.",
        "`name@1` and `name@production` already have a meaning here. MLflow's Python client refuses letters beyond "
        "a to z itself.",
    ),
    "more filters": (
        "Searches know more keys and orders: versions by stage, alias, description, status, times, creator, "
        "metrics; models by description and times.",
        "People asked for them.",
    ),
    "methods": (
        "PATCH and DELETE calls of the registry are taken as POST too.",
        "Some proxies let neither through.",
    ),
    "defaults": (
        "A search of experiments may leave `max_results` out.",
        "All other searches may.",
    ),
    "no JSON": (
        "`NaN` and `Infinity` without quotes are no JSON. As text they are taken, as protobuf has it.",
        "The original reads what Python writes; other languages cannot read its answers then.",
    ),
    "unknown runs": (
        "The history of a run that is not there is 404.",
        "The original answers an empty history, which looks like a metric that was never logged.",
    ),
}
