"""Upload sessions whose bytes go to a store: what others know, break, delay or lose gives nobody anything."""

from __future__ import annotations

import httpx
import pytest

from tests import builders
from tests.api.test_uploads import begin, call, refused, targets
from tests.storage.test_contract import CONTENT, DIGEST, blobs

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough]


@pytest.fixture
def s3(servers, use, request):
    return use(servers["s3"].storage(f"tests/{request.node.name}"))


def send(told, content=CONTENT):
    """To the addresses of one file, as a client does."""
    for part in told["parts"]:
        piece = content[part["start"] :][: part["size"]]
        yield httpx.put(part["url"], headers=part["headers"], content=piece).status_code


def test_who_knows_a_digest_cannot_complete_what_its_owner_sent(s3, api, people):
    builders.model("risk/secret", by=people.alice)
    owner = begin(api.alice, {"a.bin": CONTENT}, model="risk/secret", create=False)
    thief = begin(api.charlie, {"a.bin": CONTENT}, model="vision/x")
    (mine,), (hers,) = targets(api.charlie, thief, CONTENT), targets(api.alice, owner, CONTENT)
    assert DIGEST not in hers["parts"][0]["url"]
    assert mine["parts"][0]["url"].partition("?")[0] != hers["parts"][0]["url"].partition("?")[0]

    assert list(send(hers)) == [200]
    refused(call(api.charlie, thief, "complete", sha256=[DIGEST]), 400, fields={"files"})
    assert blobs() == []
    # Neither may anybody but her session say where the bytes are, nor before it is completed, nor after.
    assert call(api.alice, owner, "complete", sha256=[DIGEST]).json()["arrived"] == 1
    refused(call(api.charlie, thief, "complete", sha256=[DIGEST]), 400, fields={"files"})
    refused(call(api.charlie, thief, "seal"), 409)
    assert list(send(mine, CONTENT[::-1])) == [400]
    (mine,) = targets(api.charlie, thief, CONTENT)
    assert (mine["missing"], blobs()) == (1, [DIGEST])
    # Who has the bytes may send them, and they are kept once.
    assert list(send(mine)) == [200]
    assert call(api.charlie, thief, "complete", sha256=[DIGEST]).json()["arrived"] == 1
    assert call(api.charlie, thief, "seal").status_code == 201
    assert blobs() == [DIGEST]
