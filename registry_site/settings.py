"""All settings, read from the environment here and nowhere else. The table for people is docs/settings.md."""

import hashlib
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from registry_site.artifacts import artifact_storage
from registry_site.rest import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- Where it lives -----------------------------------------------------------------------------------------

HOME = Path(env.str("MODELRY_HOME", default=str(BASE_DIR / "var"))).resolve()
DEBUG = env.bool("MODELRY_DEBUG", default=False)
PRODUCTION = env.bool("MODELRY_PRODUCTION", default=False)
INSECURE_SECRET_KEY = "insecure-development-key-" + "0" * 40
SECRET_KEY = env.str("MODELRY_SECRET_KEY", default=INSECURE_SECRET_KEY)
SECRET_KEY_FALLBACKS = env.list("MODELRY_SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("MODELRY_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("MODELRY_TRUSTED_ORIGINS", default=[])
PUBLIC_URL = env.str("MODELRY_PUBLIC_URL", default="")
PUBLIC_READ = env.bool("MODELRY_PUBLIC_READ", default=False)

# --- Applications -------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "models_app.apps.ModelryAdminConfig",
    "models_app.apps.ModelsAppConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "template_partials",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "axes",
]

MIDDLEWARE = [
    "models_app.http.lingering.Linger",
    "models_app.http.middleware.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "models_app.http.middleware.SecurityHeaders",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "models_app.http.sessions.Sessions",
    "models_app.web.second_factor.Demanded",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "registry_site.urls"
WSGI_APPLICATION = "registry_site.wsgi.application"
# APIs never redirect a POST; pages spell their slashes out.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "models_app.web.context.frame",
            ],
            "builtins": ["models_app.templatetags.modelry"],
        },
    }
]

# --- Database -----------------------------------------------------------------------------------------------

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{HOME / 'modelry.sqlite3'}")}
_db = DATABASES["default"]
if _db["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets readers go on beside one writer; IMMEDIATE makes a writer wait at its start instead of failing later.
    _db["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;"
        "PRAGMA mmap_size=268435456; PRAGMA temp_store=MEMORY;",
    }
    _db["CONN_MAX_AGE"] = None
else:
    # What stands behind the “?” of the address (sslmode, a socket folder as host) stays.
    _db.setdefault("OPTIONS", {})["pool"] = {
        "min_size": env.int("MODELRY_DB_POOL_MIN", default=1),
        "max_size": env.int("MODELRY_DB_POOL_MAX", default=16),
    }
# Requests of agents that wait in each process for something to do. Each holds a thread of the app server.
WAITING_REQUESTS = env.int(
    "MODELRY_WAITING_REQUESTS", default=max(4, env.int("GRANIAN_BLOCKING_THREADS", default=32) - 20)
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Artifact storage and static files ----------------------------------------------------------------------

# The address of an object store, or of a folder; see docs/storage.md.
ARTIFACTS = env.str("MODELRY_ARTIFACTS", default="") or (
    Path(env.str("MODELRY_ARTIFACTS_ROOT", default=str(HOME / "artifacts"))).resolve().as_uri()
)
# Where they were before, while they move.
ARTIFACTS_FALLBACK = env.str("MODELRY_ARTIFACTS_FALLBACK", default="")
# Else Google's library asks about the bucket itself, which our rights do not cover, for traces that nobody makes.
env.ENVIRON.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
# S3 and Google's libraries find theirs themselves.
ARTIFACTS_SECRETS = {
    "connection_string": env.str("AZURE_STORAGE_CONNECTION_STRING", default=""),
    "account_key": env.str("AZURE_STORAGE_KEY", default=""),
    "sas_token": env.str("AZURE_STORAGE_SAS_TOKEN", default=""),
}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "artifacts": artifact_storage(ARTIFACTS, secrets=ARTIFACTS_SECRETS),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "registry_site.static_files.StaticFiles"
    },
}
if ARTIFACTS_FALLBACK:
    STORAGES["artifacts_fallback"] = artifact_storage(
        ARTIFACTS_FALLBACK, secrets=ARTIFACTS_SECRETS, said_in="MODELRY_ARTIFACTS_FALLBACK"
    )
# Whether clients send to an object store and read from it themselves, at signed addresses, and from which size on.
DIRECT_TRANSFER = env.bool("MODELRY_DIRECT_TRANSFER", default=True)
DIRECT_MIN_BYTES = env.int("MODELRY_DIRECT_MIN_BYTES", default=8 << 20)
# Off trades safety against power loss (never against a killed process) for upload speed.
FSYNC = env.bool("MODELRY_FSYNC", default=True)
# How long the sweep waits between marking what nobody refers to and removing it: far longer than any request takes.
SWEEP_GRACE = timedelta(hours=env.int("MODELRY_SWEEP_GRACE_HOURS", default=24))
if SWEEP_GRACE.total_seconds() < 7200:
    raise ImproperlyConfigured("MODELRY_SWEEP_GRACE_HOURS is 2 or more.")
# For so long a deleted run or logged model can be restored with its files.
DELETED_RUNS_KEPT = timedelta(days=env.int("MODELRY_DELETED_RUNS_DAYS", default=30))
# So long a version that no retention policy keeps is announced before it goes.
RETENTION_WAIT = timedelta(days=max(0, env.int("MODELRY_RETENTION_WAIT_DAYS", default=7)))
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("MODELRY_STATIC_ROOT", default=str(HOME / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEBUG

# --- People and sessions ------------------------------------------------------------------------------------

AUTH_USER_MODEL = "models_app.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    # The first only says no, to who guessed too often.
    "axes.backends.AxesStandaloneBackend",
    "models_app.http.backends.PasswordBackend",
    "models_app.http.backends.SsoBackend",
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "web:search"
LOGOUT_REDIRECT_URL = "account_login"
SESSION_COOKIE_NAME = "modelry_session"
SESSION_COOKIE_SAMESITE = "Lax"
BEHIND_PROXY = env.bool("MODELRY_BEHIND_PROXY", default=False)

# Guessing: so many failures of one name from one address, or of one address whatever the names, lock for a while.
LOGIN_FAILURES = env.int("MODELRY_LOGIN_FAILURES", default=5)
LOGIN_FAILURES_OF_ADDRESS = env.int("MODELRY_LOGIN_FAILURES_OF_ADDRESS", default=50)
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=env.int("MODELRY_LOGIN_LOCK_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_HANDLER = "models_app.http.throttling.Throttle"
AXES_CLIENT_IP_CALLABLE = "models_app.http.auth.address_of"
AXES_LOCKOUT_CALLABLE = "models_app.web.login.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# What allauth counts and remembers (used codes among it) holds for all processes.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "modelry_cache"}}
ACCOUNT_ADAPTER = "models_app.web.login.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_LOGOUT_REDIRECT_URL = LOGOUT_REDIRECT_URL
# Second factor: whom it is demanded of ("", admins, approvers, all). One step of the clock off is still right.
REQUIRE_TOTP = env.str("MODELRY_REQUIRE_TOTP", default="")
# Whether it is asked for, and demanded, after single sign-on too.
TOTP_AFTER_SSO = env.bool("MODELRY_TOTP_AFTER_SSO", default=False)
MFA_ADAPTER = "models_app.registry.second_factor.Adapter"
MFA_TOTP_TOLERANCE = 1

# Single sign-on by OpenID Connect; see docs/identity.md.
OIDC_ISSUER = env.str("MODELRY_OIDC_ISSUER", default="").rstrip("/")
OIDC_CLIENT_ID = env.str("MODELRY_OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("MODELRY_OIDC_CLIENT_SECRET", default="")
OIDC_NAME = env.str("MODELRY_OIDC_NAME", default="single sign-on")
OIDC_SCOPES = env.list("MODELRY_OIDC_SCOPES", default=["openid", "profile", "email"])
OIDC_GROUPS_CLAIM = env.str("MODELRY_OIDC_GROUPS_CLAIM", default="groups")
OIDC_GROUPS = env.str("MODELRY_OIDC_GROUPS", default="")
OIDC_CREATE = env.bool("MODELRY_OIDC_CREATE", default=True)
OIDC_MATCH_EMAIL = env.bool("MODELRY_OIDC_MATCH_EMAIL", default=False)
OIDC_ONLY = env.bool("MODELRY_OIDC_ONLY", default=False)
# Of the issuer: subjects of another provider are other people.
OIDC_PROVIDER_ID = f"oidc-{hashlib.sha256(OIDC_ISSUER.encode()).hexdigest()[:12]}"
SOCIALACCOUNT_ADAPTER = "models_app.web.sso.SocialAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": OIDC_SCOPES,
        "APPS": [
            {
                "provider_id": OIDC_PROVIDER_ID,
                "name": OIDC_NAME,
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {"server_url": OIDC_ISSUER},
            }
        ],
    }
}

# --- Transport ----------------------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = env.bool("MODELRY_SSL_REDIRECT", default=PRODUCTION)
SECURE_HSTS_SECONDS = env.int("MODELRY_HSTS_SECONDS", default=31_536_000 if PRODUCTION else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_SECONDS > 0
SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
X_FRAME_OPTIONS = "DENY"
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

# --- Limits -------------------------------------------------------------------------------------------------

MAX_FILE_BYTES = env.int("MODELRY_MAX_FILE_BYTES", default=1 << 40)
MAX_FILES_PER_VERSION = env.int("MODELRY_MAX_FILES_PER_VERSION", default=10_000)
MAX_JSON_BYTES = env.int("MODELRY_MAX_JSON_BYTES", default=2 << 20)
# Ordinary Django bodies (forms, JSON); artifact bytes are streamed by http/bodies.py and never counted here.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_JSON_BYTES
DATA_UPLOAD_MAX_NUMBER_FILES = None

# --- Calling out --------------------------------------------------------------------------------------------

# Hosts and networks that webhooks may reach although they are not public.
OUTBOUND_ALLOW = env.list("MODELRY_OUTBOUND_ALLOW", default=[])
WEBHOOK_SCHEMES = env.list("MODELRY_WEBHOOK_SCHEMES", default=["https"])

# Mail goes out when this says how; Django's own settings EMAIL_* follow from it.
MAIL_URL = env.str("MODELRY_EMAIL_URL", default="")
MAIL_IS_ON = bool(MAIL_URL)
vars().update(env.email_url_config(MAIL_URL or "dummymail://"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("MODELRY_EMAIL_FROM", default="Modelry <modelry@localhost>")
# The hour (UTC) of the day's digest.
DIGEST_HOUR = env.int("MODELRY_DIGEST_HOUR", default=6)
if DIGEST_HOUR not in range(24):
    raise ImproperlyConfigured("MODELRY_DIGEST_HOUR is an hour from 0 to 23.")

# Of the server that `manage.py import_mlflow` copies from: named as MLflow's own clients have them.
MLFLOW_SOURCE_TOKEN = env.str("MLFLOW_TRACKING_TOKEN", default="")
MLFLOW_SOURCE_USERNAME = env.str("MLFLOW_TRACKING_USERNAME", default="")
MLFLOW_SOURCE_PASSWORD = env.str("MLFLOW_TRACKING_PASSWORD", default="")

# --- Language, time, logs -----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
SILENCED_SYSTEM_CHECKS: list[str] = []
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    # At INFO they write whole addresses of webhooks, which are often secrets.
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # What it would say stands in the audit, with the name.
        "axes": {"level": "ERROR"},
    },
    "root": {"handlers": ["console"], "level": env.str("MODELRY_LOG_LEVEL", default="WARNING")},
}

if PRODUCTION and (DEBUG or SECRET_KEY == INSECURE_SECRET_KEY or len(SECRET_KEY) < 50):
    raise ImproperlyConfigured(
        "MODELRY_PRODUCTION is on: set MODELRY_SECRET_KEY to 50 or more random characters of your own "
        "and leave MODELRY_DEBUG off."
    )
