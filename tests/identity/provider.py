"""A real OpenID provider on this machine: canaille, with people and groups in memory. Run by the environment
`.venv-canaille`: `python provider.py PORT CLIENT_ID SECRET REDIRECT_URI PEOPLE` (JSON: name → mail, verified, groups).
"""

import json
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend

port, client_id, secret, redirect, people = sys.argv[1:]
people = json.loads(people)
config = {
    "SECRET_KEY": "of the tests",
    "SERVER_NAME": f"127.0.0.1:{port}",
    "PREFERRED_URL_SCHEME": "http",
    "CANAILLE": {"DATABASE": "memory", "LOGGING": None, "ENABLE_PASSWORD_COMPROMISSION_CHECK": False},
    "CANAILLE_OIDC": {"REQUIRE_NONCE": False},
}
app = create_app(config)
# Its own settings know no such claim, though people of a provider have one.
app.config["CANAILLE_OIDC"]["USERINFO_MAPPING"]["EMAIL_VERIFIED"] = (
    "{% if user.organization == 'verified' %}true{% endif %}"
)
with app.app_context():
    backend = Backend.instance
    made = {}
    for name, facts in people.items():
        made[name] = models.User(
            user_name=name,
            formatted_name=name.title(),
            given_name=name.title(),
            family_name="Example",
            emails=[facts["email"]],
            organization="verified" if facts["verified"] else "no",
            password="correct horse battery",
        )
        backend.save(made[name])
    for group in {group for facts in people.values() for group in facts["groups"]}:
        members = [made[name] for name, facts in people.items() if group in facts["groups"]]
        backend.save(models.Group(display_name=group, members=members))
    client = models.Client(
        client_id=client_id,
        client_secret=secret,
        client_name="Modelry",
        client_uri="http://127.0.0.1",
        redirect_uris=[redirect],
        grant_types=["authorization_code"],
        response_types=["code"],
        token_endpoint_auth_method="client_secret_post",
        scope=["openid", "profile", "email", "groups"],
    )
    backend.save(client)
    client.audience = [client]
    backend.save(client)
app.run(host="127.0.0.1", port=int(port), threaded=True)
