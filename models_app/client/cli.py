"""modelry: push and pull models from the command line."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from .cache import Cache, default_folder
from .ci import facts
from .deploy_agent import agent_options, run_agent
from .pull import Pull, as_json, explain, split_name
from .push import Push, find_files, promote
from .transfer import LOCAL, OK, UNMET, USAGE, Failure, Progress, Server, size

EXIT_CODES = """
Exit codes: 0 done, 1 unexpected, 2 wrong usage, 3 refused (no right, not found, invalid), 4 a policy is unmet or a
request waits for a decision, 5 the registry cannot be reached, 6 bytes are damaged, 7 local files, 8 a deployment
failed (deploy-agent --once), 130 interrupted.
"""
FIELDS = ("dataset-name", "dataset-version", "license", "owner", "description", "framework")


def parser() -> argparse.ArgumentParser:
    """All there is to say."""
    top = argparse.ArgumentParser(
        prog="modelry",
        description="Push and pull models, and deploy what was promoted.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    _where_and_who(top, default=None)
    commands = top.add_subparsers(dest="command", required=True)
    for name, told in (
        ("push", "send a folder as a new version"),
        ("ci-register", "the same in CI: commit, branch, run link and dataset come from the environment"),
    ):
        _push_options(commands.add_parser(name, help=told), ci=name == "ci-register")
    pull = commands.add_parser("pull", help="fetch a version")
    pull.add_argument("version", metavar="NAME@production|3|alias")
    pull.add_argument("target", metavar="DEST", nargs="?", type=Path)
    pull.add_argument("--force", action="store_true", help="replace a folder that is not empty")
    pull.add_argument("--copy", action="store_true", help="copy from the cache, do not link")
    why = commands.add_parser("explain", help="tell what keeps a version out of a stage")
    why.add_argument("version", metavar="NAME@3")
    why.add_argument("--stage", default="production")
    login = commands.add_parser(
        "login", help="keep address and token; the token is asked for, or read from a pipe"
    )
    login.add_argument("address", metavar="URL")
    agent = commands.add_parser("deploy-agent", help="keep a machine in step with what is declared")
    agent_options(agent)
    for command in (pull, why, agent):
        _common(command)
    return top


def _where_and_who(command: argparse.ArgumentParser, *, default: Any) -> None:
    """Before the command's name or after it; what is not said there keeps what was said before."""
    command.add_argument(
        "--url", default=default, help="the registry; else MODELRY_URL, else what `login` kept"
    )
    command.add_argument(
        "--token-file",
        type=Path,
        default=default,
        help="a file with the token; else MODELRY_TOKEN, MODELRY_TOKEN_FILE",
    )


def _common(command: argparse.ArgumentParser) -> None:
    _where_and_who(command, default=argparse.SUPPRESS)
    command.add_argument("--json", action="store_true", help="answer as JSON on standard output")
    command.add_argument("--parallel", type=int, default=4, help="how much at once (4)")
    command.add_argument("--quiet", action="store_true", help="no progress")


def _push_options(command: argparse.ArgumentParser, *, ci: bool) -> None:
    command.add_argument("folder", type=Path)
    command.add_argument("--model", required=True, metavar="TEAM/NAME")
    command.add_argument("--create", action="store_true", help="make the model if it is missing")
    command.add_argument("--metadata", type=Path, metavar="FILE.json", help="fields of the version")
    command.add_argument("--metrics-file", type=Path, metavar="FILE.json", help='{"f1": 0.9}')
    command.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE")
    command.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE")
    for field in FIELDS:
        command.add_argument(f"--{field}")
    command.add_argument("--commit", dest="code_commit")
    command.add_argument("--repository", dest="code_repository")
    command.add_argument("--run-url", help="where the training run is seen")
    command.add_argument("--retrains", type=int, metavar="INCIDENT",
                         help="number of the incident because of which it was trained")  # fmt: skip
    command.add_argument("--exclude", action="append", default=[], metavar="PATTERN")
    command.add_argument("--from-ci", action="store_true", default=ci, help="fill in what CI says")
    command.add_argument("--stage", choices=["staging", "production"], help="ask for this stage afterwards")
    command.add_argument("--reason", default="", help="why, for the record")
    command.add_argument("--wait", nargs="?", type=float, const=3600.0, default=0.0, metavar="SECONDS",
                         help="wait for the decision on the stage (an hour)")  # fmt: skip
    _common(command)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    chosen = parser().parse_args(arguments)
    # What the agent answers is its log, a line each.
    as_told = getattr(chosen, "json", False) and chosen.command != "deploy-agent"
    try:
        if chosen.command == "login":
            return _login(chosen)
        if not 1 <= chosen.parallel <= 64:
            raise Failure("--parallel is 1 to 64.", USAGE)
        server = _server(chosen)
        if chosen.command == "explain":
            return _explain(server, chosen)
        if chosen.command == "deploy-agent":
            return run_agent(server, chosen)
        cache = Cache(default_folder(dict(os.environ)))
        try:
            return _pull(server, cache, chosen) if chosen.command == "pull" else _push(server, cache, chosen)
        finally:
            cache.close()
    except Failure as failure:
        return _failed(failure, as_told=as_told)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}." if error.filename else str(error)
        return _failed(Failure(why, LOCAL), as_told=as_told)
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from here.", file=sys.stderr, flush=True)
        os._exit(130)  # Threads in the middle of a part are not waited for.


def _failed(failure: Failure, *, as_told: bool) -> int:
    print(f"modelry: {failure}", file=sys.stderr)
    problem = failure.problem
    for one in problem.get("missing", []):
        print(f"  missing: {one.get('label')} {one.get('detail', '')}".rstrip(), file=sys.stderr)
    if page := problem.get("promotion_page") or problem.get("promotion_request"):
        print(f"  request: {page}", file=sys.stderr)
    if as_told:
        print(as_json({"error": str(failure), "exit_code": failure.code, "problem": problem}))
    return failure.code


# --- Who and where --------------------------------------------------------------------------------------------


def _config() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "modelry" / "login.json"


def _server(chosen: argparse.Namespace) -> Server:
    kept: dict[str, str] = {}
    if _config().is_file():
        try:
            kept = _read_json(_config())
        except Failure as failure:
            raise Failure(f"{failure} `modelry login URL` writes it anew.", USAGE) from failure
    url = chosen.url or os.environ.get("MODELRY_URL") or kept.get("url")
    if not url:
        raise Failure("Which registry? Set MODELRY_URL, or `modelry login URL`.", USAGE)
    file = chosen.token_file or os.environ.get("MODELRY_TOKEN_FILE")
    try:
        token = Path(file).read_text() if file else os.environ.get("MODELRY_TOKEN", "")
    except OSError as error:
        raise Failure(f"The token cannot be read from {file}: {error.strerror}.", USAGE) from error
    except ValueError as error:
        raise Failure(f"There is no token in {file}.", USAGE) from error
    if not token.strip() and kept.get("url") == url.rstrip("/"):
        token = kept.get("token", "")
    token = token.strip()
    if not token.isascii() or any(char.isspace() for char in token):
        raise Failure("The token is malformed.", USAGE)
    return Server(url, token)


def _login(chosen: argparse.Namespace) -> int:
    token = (getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    server = Server(chosen.address, token)
    me = server.ask("GET", "me")
    path = _config()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": server.url, "token": token}, file)
    part.replace(path)
    print(f"Logged in to {server.url} as {me.get('username', 'somebody')}.")
    return OK


# --- Commands -------------------------------------------------------------------------------------------------


def _pairs(told: list[str], option: str) -> dict[str, str]:
    found = {}
    for one in told:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise Failure(f"{option} takes NAME=VALUE, not “{one}”.", USAGE)
        found[name] = value
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.", LOCAL) from error
    except ValueError as error:
        raise Failure(f"{path} is no JSON: {error}.", USAGE) from error
    if not isinstance(found, dict):
        raise Failure(f"{path} must hold a JSON object.", USAGE)
    return found


def _metadata(chosen: argparse.Namespace) -> dict[str, Any]:
    """What is said of the version; the command line counts most, then the file, then CI."""
    found = facts(os.environ) if chosen.from_ci else {}
    if chosen.metadata:
        found |= _read_json(chosen.metadata)
    tags = {**found.get("tags", {}), **_pairs(chosen.tag, "--tag")}
    metrics: dict[str, Any] = {}
    if isinstance(found.get("metrics"), dict):
        metrics = dict(found.pop("metrics"))
    elif found.get("metrics") and (chosen.metrics_file or chosen.metric):
        raise Failure("Metrics stand in the metadata as a list: give all of them there.", USAGE)
    if chosen.metrics_file:
        metrics |= _read_json(chosen.metrics_file)
    for name, value in _pairs(chosen.metric, "--metric").items():
        try:
            metrics[name] = float(value)
        except ValueError as error:
            raise Failure(f"--metric {name}: “{value}” is no number.", USAGE) from error
    names = [field.replace("-", "_") for field in FIELDS] + ["code_commit", "code_repository"]
    found |= {name: value for name in names if (value := getattr(chosen, name)) is not None}
    if chosen.run_url:
        found["reports"] = [*found.get("reports", []), {"title": "Training run", "url": chosen.run_url}]
    if tags:
        found["tags"] = tags
    if metrics:
        found["metrics"] = metrics
    if chosen.retrains is not None:
        found["retrains"] = chosen.retrains
    if chosen.create:
        found["create_model"] = True
    return found


def _push(server: Server, cache: Cache, chosen: argparse.Namespace) -> int:
    progress = Progress(quiet=chosen.quiet)
    metadata = _metadata(chosen)
    if not chosen.stage and (chosen.wait or chosen.reason):
        raise Failure("--wait and --reason are about a --stage: say which.", USAGE)
    server.require_token()
    files = find_files(chosen.folder, chosen.exclude)
    push = Push(server, cache, progress, parallel=chosen.parallel)
    version = push.run(files, model=chosen.model, metadata=metadata)
    told = {
        "model": version["model"],
        "version": version["version"],
        "url": version["url"],
        "page": version["page"],
        "digest": version["digest"],
        "files": len(files),
        "bytes": version["total_size"],
        "sent": push.sent,
    }
    progress.say(
        f"{told['model']}@{told['version']}: {len(files)} file{'' if len(files) == 1 else 's'}, {size(push.sent)} sent"
    )
    failure = None
    if chosen.stage:
        try:
            told["promotion"] = promote(
                server,
                version,
                stage=chosen.stage,
                reason=chosen.reason,
                progress=progress,
                patience=chosen.wait,
            )
        except Failure as error:
            failure = error
            told["promotion"] = {"stage": chosen.stage, "state": "refused", "problem": error.problem}
    print(as_json(told) if chosen.json else told["url"])
    return _failed(failure, as_told=False) if failure else OK


def _pull(server: Server, cache: Cache, chosen: argparse.Namespace) -> int:
    progress = Progress(quiet=chosen.quiet)
    name, revision = split_name(chosen.version)
    # Where that is: a pull into the working folder replaces it.
    target = (chosen.target or Path(name.rpartition("/")[2])).absolute()
    pull = Pull(server, cache, progress, parallel=chosen.parallel)
    version = pull.run(name, revision, target, force=chosen.force, copy=chosen.copy)
    told = {
        "model": version["model"],
        "version": version["version"],
        "digest": version["digest"],
        "folder": str(target),
        "fetched": pull.fetched,
    }
    progress.say(f"{told['model']}@{told['version']}: {size(pull.fetched)} fetched")
    print(as_json(told) if chosen.json else told["folder"])
    return OK


def _explain(server: Server, chosen: argparse.Namespace) -> int:
    name, revision = split_name(chosen.version)
    missing = explain(server, name, revision, chosen.stage)
    if chosen.json:
        print(as_json({"stage": chosen.stage, "missing": missing}))
    elif not missing:
        print(f"{name}@{revision} may go to {chosen.stage}.")
    else:
        for one in missing:
            print(f"{one['label']}: {one['detail']}".rstrip(": "))
    return UNMET if missing else OK
