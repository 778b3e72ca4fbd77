"""What people are told on its way to them: at once or once a day, one mail each, through a real SMTP server too."""

import socketserver
import threading
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_string, policy

import pytest
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from models_app.models import Notice, User, Visibility
from models_app.registry import mailing, notices, promotions, reviews
from models_app.registry import people as verbs
from models_app.tasks.dispatcher import dispatch
from models_app.tasks.notices import Post, send_due
from tests import builders


@pytest.fixture(autouse=True)
def _mail_is_on(settings):
    settings.MAIL_IS_ON = True
    settings.PUBLIC_URL = "https://models.example.com"


@pytest.fixture
def asked(people):
    """A request that carol and erin are told of."""
    model = builders.model("risk/fraud", by=people.alice)
    version = builders.complete_version(model, by=people.bob)
    found = promotions.ask(version, to="production", by=people.bob, reason="<b>Better</b> & faster.")
    dispatch()
    return found


def wait_over():
    Notice.objects.filter(due_at__isnull=False).update(due_at=timezone.now())


class Smtp:
    """A mail server as small as it can be: keeps what it is given, and answers as `refuse` says."""

    def __init__(self):
        self.taken: list[str] = []
        self.refuse: dict[str, str] = {}
        self.port = 0


@contextmanager
def smtp():
    told = Smtp()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line):
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self):
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                verb = line.split()[0].upper()
                if verb == "RCPT":
                    name = line.partition("<")[2].partition("@")[0]
                    self.say(told.refuse.get(name, "250 yes"))
                elif verb == "DATA":
                    self.say("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    told.taken.append(body.decode())
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 yes")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(settings):
    with smtp() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        yield running


def test_a_mail_says_all_and_leads_to_the_request(people, asked):
    assert send_due() == 2
    assert send_due() == 0
    sent = {message.to[0]: message for message in mail.outbox}
    assert sent.keys() == {"carol@example.com", "erin@example.com"}
    message = sent["carol@example.com"]
    assert message.subject == "[Modelry] Review wanted by bob: risk/fraud v1 to production"
    link = f"https://models.example.com/approvals/{asked.pk}/"
    assert f"Open it: {link}\n" in message.body
    assert "<b>Better</b> & faster." in message.body
    (html, kind) = message.alternatives[0]
    assert kind == "text/html"
    assert f'href="{link}"' in html
    assert "&lt;b&gt;Better&lt;/b&gt; &amp; faster." in html
    head = message.message()
    assert head["List-Unsubscribe"] == "<https://models.example.com/account/#id_notice_mode>"
    assert head["Message-ID"].endswith("@models.example.com>")
    assert head["In-Reply-To"] == f"<request-{asked.pk}@models.example.com>"
    assert not Notice.objects.filter(sent_at=None).exists()


def test_one_click_lands_on_the_request_after_login(people, asked, client):
    send_due()
    path = mail.outbox[0].body.partition("https://models.example.com")[2].split()[0]
    login = client.get(path)
    assert login.status_code == 302
    form = client.get(login["Location"])
    typed = {"username": "carol", "password": "correct horse battery", "next": form.context["next"]}
    answer = client.post("/login/", typed, follow=True)
    assert answer.redirect_chain == [(path, 302)]
    assert b"risk/fraud" in answer.content


def test_once_a_day_is_one_mail_by_request(people, asked):
    verbs.update_profile(people.carol.user, by=people.carol, notice_mode="digest")
    send_due()
    reviews.ask_reviewers(asked, reviewers=[people.carol.user], by=people.bob)
    reviews.comment(asked, body="Soon, please.", by=people.bob)
    dispatch()
    now = timezone.now()
    due = Notice.objects.filter(user=people.carol.user, sent_at=None).values_list("due_at", flat=True)
    assert set(due) == {notices.next_digest(now)}
    assert now < due[0] <= now + timedelta(days=1)
    mail.outbox.clear()
    assert send_due() == 0
    wait_over()
    assert send_due() == 1
    (message,) = mail.outbox
    assert message.subject == (
        "[Modelry] Today: Your review is wanted by bob: risk/fraud v1 to production, and 1 more"
    )
    assert message.body.count(f"/approvals/{asked.pk}/") == 1
    assert "Soon, please." in message.body


def test_what_changed_since_is_respected(people, asked):
    User.objects.filter(username="erin").update(is_active=False)
    charlie = people.charlie.user
    Notice.objects.filter(user=people.carol.user).update(user=charlie)
    asked.model.visibility = Visibility.TEAM
    asked.model.save()
    assert send_due() == 0
    assert mail.outbox == []
    assert not Notice.objects.filter(due_at__isnull=False).exists()


def test_a_server_that_is_down_is_waited_for(people, asked, settings, server):
    settings.EMAIL_PORT = 1
    assert send_due() == 0
    assert Notice.objects.filter(sent_at=None, attempts=0).count() == 2
    settings.EMAIL_PORT = server.port
    server.refuse = {"carol": "451 later", "erin": "550 nobody of that name"}
    assert send_due() == 0
    carol, erin = Notice.objects.order_by("user__username")
    assert (carol.attempts, erin.due_at, "550" in erin.error) == (1, None, True)
    assert carol.due_at > timezone.now()
    server.refuse = {}
    assert send_due() == 0
    wait_over()
    assert send_due() == 1
    (taken,) = server.taken
    head = message_from_string(taken, policy=policy.default)
    assert head["To"] == "carol@example.com"
    assert head["Subject"] == "[Modelry] Review wanted by bob: risk/fraud v1 to production"
    Notice.objects.update(sent_at=None, due_at=timezone.now(), created_at=timezone.now() - mailing.GIVE_UP)
    server.refuse = {"carol": "451 later", "erin": "451 later"}
    send_due()
    assert not Notice.objects.filter(due_at__isnull=False).exists()


def test_what_a_killed_worker_had_in_hand_is_sent_by_another(people, asked):
    taken = mailing.claim(people.carol.user.pk)
    assert taken.notices[0].user_id == people.carol.user.pk
    assert mailing.claim(people.carol.user.pk) is None
    assert send_due() == 1
    Notice.objects.filter(sent_at=None).update(due_at=timezone.now())
    assert send_due() == 1
    assert [message.to for message in mail.outbox] == [["erin@example.com"], ["carol@example.com"]]


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_nothing_twice(people, server):
    model = builders.model("risk/fraud", by=people.alice)
    for _ in range(5):
        promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)
    dispatch()
    posts = [Post(), Post(), Post()]
    until = timezone.now() + timedelta(seconds=15)
    while Notice.objects.filter(sent_at=None).exists() and timezone.now() < until:
        for post in posts:
            post.begin()
    for post in posts:
        post.end()
    subjects = [message_from_string(one)["Message-ID"] for one in server.taken]
    assert len(subjects) == len(set(subjects)) == 10


def test_the_worker_tells_people(people, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mails")
    model = builders.model("risk/fraud", by=people.alice)
    promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)
    call_command("run_worker", once=True)
    texts = [path.read_text() for path in (tmp_path / "mails").iterdir()]
    assert sum(text.count("Subject: ") for text in texts) == 2
