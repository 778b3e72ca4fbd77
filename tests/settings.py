"""The product's settings, with what tests need different. DATABASE_URL chooses the database."""

import os
import tempfile

for name in [name for name in os.environ if name.startswith("MODELRY_")]:
    del os.environ[name]
# Nothing may land in a developer's data folder; fixtures give every test its own place.
# Chromium's driver keeps an event loop in the thread of the tests; nothing of ours is asynchronous.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
os.environ["MODELRY_HOME"] = os.path.join(tempfile.gettempdir(), "modelry-tests-nowhere")

from registry_site.settings import *  # noqa: E402, F403
from registry_site.settings import DATABASES, STORAGES  # noqa: E402

# Quick to compute: strength is Django's business, not ours to test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
FSYNC = False

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: threads in a test then meet the same locks as processes in production.
    folder = tempfile.mkdtemp(prefix="modelry-tests-")
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(folder, "test.sqlite3")}
else:
    # Each test process holds its own database; a pool of its own would keep it from being dropped.
    DATABASES["default"]["OPTIONS"].pop("pool", None)
    DATABASES["default"].pop("CONN_MAX_AGE", None)
