"""Every setting, read from the environment here and nowhere else. README.md has the table."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

from hosting.runtimes.kinds import KINDS
from mcphost import logs
from mcphost.env import BadSetting, Environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment.load(BASE_DIR)

# --- Where it listens, and under which names it answers
BIND_ADDRESS = env.text("BIND_ADDRESS", "0.0.0.0")
BIND_PORT = env.integer("BIND_PORT", 3000, 1, 65535)
PUBLIC_URL = env.url("PUBLIC_URL", "", ["http", "https"]).rstrip("/")
ALLOWED_HOSTS = [*env.names("ALLOWED_HOSTS"), "localhost", "127.0.0.1", "[::1]", socket.gethostname().lower()]
if _public_host := urlsplit(PUBLIC_URL).hostname:
    ALLOWED_HOSTS.append(_public_host)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
BEHIND_PROXY = env.boolean("BEHIND_PROXY", False)
CONNECTIONS_PER_ADDRESS = env.integer("CONNECTIONS_PER_ADDRESS", 512, 0, 100_000)
DEBUG = env.boolean("DEBUG", False)
ALLOW_MIGRATION_FAILURE = env.boolean("ALLOW_MIGRATION_FAILURE", False)

MIGRATE_ON_START = env.boolean("MIGRATE_ON_START", True)

# --- Keys. `manage.py up` writes missing ones to .env.
SECRET_KEY = env.text("SECRET_KEY", "", secret=True)
SECRET_ENCRYPTION_KEYS = env.names("SECRET_ENCRYPTION_KEYS", secret=True)
ADMIN_PASSWORD = env.text("ADMIN_PASSWORD", "", secret=True)

# --- Data
DATA_DIR = env.path("DATA_DIR", str(BASE_DIR / "var")) or BASE_DIR / "var"
DATABASE_URL = env.url("DATABASE_URL", "", ["sqlite", "postgres", "postgresql"], secret=True)
BROKER_URL = env.url("BROKER_URL", "", ["redis", "rediss", "amqp", "amqps"], secret=True)
REDIS_URL = env.url("REDIS_URL", "", ["redis", "rediss"], secret=True) or (
    BROKER_URL if BROKER_URL.startswith("redis") else ""
)

# --- Registry
REGISTRY = env.pattern(
    "REGISTRY", "", r"[a-zA-Z0-9.\[\]:-]+(/[a-z0-9._/-]+)?", "host[:port][/prefix], with no scheme"
)
REGISTRY_ADDRESS = env.pattern("REGISTRY_ADDRESS", "", r"[a-zA-Z0-9.\[\]:-]+", "host[:port]")
REGISTRY_AUTH_DOCKERCONFIG = env.path("REGISTRY_AUTH_DOCKERCONFIG")
REGISTRY_SHARED_PREFIXES = env.patterns(
    "REGISTRY_SHARED_PREFIXES",
    r"[a-zA-Z0-9.\[\]:-]+(/[a-z0-9._-]+)*",
    "a comma-separated list of host[:port][/path], with no scheme and no tag",
)
REGISTRY_ARCH_TARGETS = env.platforms("REGISTRY_ARCH_TARGETS", "linux/amd64")
REGISTRY_PUSH_RETRIES = env.integer("REGISTRY_PUSH_RETRIES", 3, 1, 20)
REGISTRY_PUSH_TIMEOUT = env.integer("REGISTRY_PUSH_TIMEOUT", 1800, 10, 86_400)
REGISTRY_MOVING_TAG = env.pattern(
    "REGISTRY_MOVING_TAG", "latest", r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|none", "a tag, or none"
)
REGISTRY_REFRESH_COMMAND = env.words("REGISTRY_REFRESH_COMMAND")
REGISTRY_AUTH_LEAD_SECONDS = env.integer("REGISTRY_AUTH_LEAD_SECONDS", 900, 0, 604_800)
REGISTRY_AUTH_MAX_AGE_SECONDS = env.integer("REGISTRY_AUTH_MAX_AGE_SECONDS", 0, 0, 31_536_000)
REGISTRY_INSECURE = env.names("REGISTRY_INSECURE")
REGISTRY_PRIVATE_HOSTS = env.hosts("REGISTRY_PRIVATE_HOSTS")
REGISTRY_CA_BUNDLE = env.readable_file("REGISTRY_CA_BUNDLE")

# --- Runtimes
CONTAINER_RUNTIME = env.choice("CONTAINER_RUNTIME", "auto", ["auto", *KINDS])
DOCKER_HOST = env.url("DOCKER_HOST", "", ["unix", "tcp", "http", "https", "npipe"])
DOCKER_NETWORK = env.text("DOCKER_NETWORK", "")
K8S_CONTEXT = env.text("K8S_CONTEXT", "")
K8S_NAMESPACE = env.pattern(
    "K8S_NAMESPACE", "default", r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a namespace's name"
)
K8S_REACH = env.choice("K8S_REACH", "auto", ["auto", "service", "proxy"])
K8S_CALLER_NETWORKS = env.names("K8S_CALLER_NETWORKS")
K8S_SERVICE_ACCOUNT = env.text("K8S_SERVICE_ACCOUNT", "")
K8S_REGISTRY_SECRET_NAME = env.text("K8S_REGISTRY_SECRET_NAME", "")

# --- Deployments
DEPLOYMENTS_PARALLEL = env.integer("DEPLOYMENTS_PARALLEL", 2, 1, 64)
BUILDS_PARALLEL = env.integer("BUILDS_PARALLEL", 2, 1, 64)
BUILD_TIMEOUT = env.integer("BUILD_TIMEOUT", 1800, 5, 86_400)
HEALTH_TIMEOUT = env.integer("HEALTH_TIMEOUT", 90, 1, 3600)
DEPLOY_TIMEOUT = env.integer("DEPLOY_TIMEOUT", 7200, 10, 172_800)
DRAIN_SECONDS = env.number("DRAIN_SECONDS", 5, 0, 3600)
DRAIN_CALLS_SECONDS = env.number("DRAIN_CALLS_SECONDS", 300, 0, 86_400)
STOP_GRACE_SECONDS = env.number("STOP_GRACE_SECONDS", 5, 0, 600)
KEEP_DEPLOYMENTS = env.integer("KEEP_DEPLOYMENTS", 5, 1, 1000)
HEARTBEAT_SECONDS = env.number("HEARTBEAT_SECONDS", 3, 0.2, 60)
ABANDONED_AFTER_SECONDS = env.number("ABANDONED_AFTER_SECONDS", 20, 1, 3600)
RECONCILE_SECONDS = env.number("RECONCILE_SECONDS", 1, 0.1, 60)

# --- Calls to hosted servers
GATEWAY_CONCURRENCY = env.integer("GATEWAY_CONCURRENCY", 100, 0, 100_000)
GATEWAY_CALL_TIMEOUT = env.number("GATEWAY_CALL_TIMEOUT", 300, 1, 86_400)
GATEWAY_COLD_START_WAIT = env.number("GATEWAY_COLD_START_WAIT", 20, 0, 600)
GATEWAY_BODY_LIMIT = env.integer("GATEWAY_BODY_LIMIT", 4 * 1024**2, 64 * 1024, 1024**3)
BRIDGE_SESSIONS = env.integer("BRIDGE_SESSIONS", 32, 1, 10_000)
GATEWAY_SHUTDOWN_SECONDS = env.number("GATEWAY_SHUTDOWN_SECONDS", 8, 0, 3600)

# --- Sources and builds
GIT_PROTOCOLS = env.names("GIT_PROTOCOLS", "https,ssh")
GIT_PRIVATE_HOSTS = env.hosts("GIT_PRIVATE_HOSTS")
GIT_MAX_BYTES = env.integer("GIT_MAX_BYTES", 2 * 1024**3, 1024**2, 10 * 1024**4)
UPLOAD_MAX_BYTES = env.integer("UPLOAD_MAX_BYTES", 100 * 1024**2, 1024, 10 * 1024**3)
UPLOADS_PER_PERSON_BYTES = env.integer("UPLOADS_PER_PERSON_BYTES", 2 * 1024**3, 1024, 10 * 1024**4)
BASE_IMAGE_PYTHON = env.text("BASE_IMAGE_PYTHON", "python:3.12-slim")
BASE_IMAGE_NODE = env.text("BASE_IMAGE_NODE", "node:22-slim")
PYTHON_DOWNLOADS = env.boolean("PYTHON_DOWNLOADS", True)
BUILD_PIP_INDEX_URL = env.url("BUILD_PIP_INDEX_URL", "", ["http", "https"])
BUILD_NPM_REGISTRY = env.url("BUILD_NPM_REGISTRY", "", ["http", "https"])
BUILD_CA_BUNDLE = env.readable_file("BUILD_CA_BUNDLE")

# --- Catalog: the registry API that is looked in, and what is served at /v0.1/
CATALOG_REGISTRY_URL = env.url(
    "CATALOG_REGISTRY_URL", "https://registry.modelcontextprotocol.io", ["http", "https"]
)
CATALOG_ALLOW_PRIVATE = env.boolean("CATALOG_ALLOW_PRIVATE", False)
CATALOG_NAMESPACE = env.pattern(
    "CATALOG_NAMESPACE", "", r"[a-zA-Z0-9.-]+", "a reverse-DNS name such as org.example.mcp"
)

# --- Gateway: access tokens of an authorization server besides ours, and limits per minute (0: none)
OAUTH_ISSUER = env.url("OAUTH_ISSUER", "", ["http", "https"])
OAUTH_JWKS_URL = env.url("OAUTH_JWKS_URL", "", ["http", "https"])
OAUTH_AUDIENCE = env.names("OAUTH_AUDIENCE")
OAUTH_SCOPES = env.names("OAUTH_SCOPES")
OAUTH_USER_CLAIM = env.text("OAUTH_USER_CLAIM", "sub")
RATE_LIMIT_PER_TOKEN = env.integer("RATE_LIMIT_PER_TOKEN", 0, 0, 10_000_000)
RATE_LIMIT_PER_SERVER = env.integer("RATE_LIMIT_PER_SERVER", 0, 0, 10_000_000)
TRACING = env.boolean("TRACING", False)

# --- Who may enter: an OpenID provider beside passwords, or instead of them
OIDC_ISSUER = env.url("OIDC_ISSUER", "", ["http", "https"])
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET", "", secret=True)
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")
OIDC_SCOPES = env.names("OIDC_SCOPES", "openid,profile,email")
OIDC_USERNAME_CLAIM = env.text("OIDC_USERNAME_CLAIM", "preferred_username")
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
OIDC_ADMIN_GROUPS = env.names("OIDC_ADMIN_GROUPS")
OIDC_TEAM_GROUPS = env.names("OIDC_TEAM_GROUPS")
PASSWORD_LOGIN = env.boolean("PASSWORD_LOGIN", True)
SESSION_HOURS = env.integer("SESSION_HOURS", 336, 1, 8760)

# --- What is kept, and how it is logged
METRICS_TOKEN = env.text("METRICS_TOKEN", "", secret=True)
ROLLUP_RETENTION_DAYS = env.integer("ROLLUP_RETENTION_DAYS", 730, 1, 3650)
METRICS_PORT = env.integer("METRICS_PORT", 0, 0, 65535)
METRICS_RETENTION_DAYS = env.integer("METRICS_RETENTION_DAYS", 90, 1, 3650)
AUDIT_RETENTION_DAYS = env.integer("AUDIT_RETENTION_DAYS", 730, 30, 36_500)
LOG_RETENTION_DAYS = env.integer("LOG_RETENTION_DAYS", 30, 1, 3650)
STREAM_RETENTION_HOURS = env.integer("STREAM_RETENTION_HOURS", 24, 1, 720)
LOG_FORMAT = env.choice("LOG_FORMAT", "keyvalue", ["keyvalue", "json"])
LOG_LEVEL = env.choice("LOG_LEVEL", "info", ["debug", "info", "warning", "error"])

if not SECRET_KEY:
    raise BadSetting("SECRET_KEY is not set: run `make run` once, or set it to 50 random characters.")
if not SECRET_ENCRYPTION_KEYS:
    raise BadSetting("SECRET_ENCRYPTION_KEYS is not set: run `make run` once, or set it to a Fernet key.")

# Marks our objects on an engine or cluster that others use too. All processes of a platform have the same.
INSTANCE = hashlib.sha256(f"instance:{SECRET_KEY}".encode()).hexdigest()[:12]

# --- Django
INSTALLED_APPS = [
    "mcphost",
    "unfold.apps.BasicAppConfig",
    "console.apps.SiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before staticfiles, so that `runserver` is ours. daphne is not in this list, because every process would
    # load Twisted with it, which only processes served by daphne need.
    "cli",
    "django.contrib.staticfiles",
    "django.forms",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_eventstream",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "access",
    "servers",
    "console",
    "metrics",
    "gateway",
    "catalog",
    "hooks",
    "notices",
]
MIDDLEWARE = [
    "csp.middleware.CSPMiddleware",  # first, so that answers of the others have its header too
    "mcphost.hosts.KeepNothingMiddleware",
    "mcphost.hosts.UnknownHostMiddleware",
    "mcphost.hosts.NulMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "servers.front.files.FilesMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "mcphost.urls"
ASGI_APPLICATION = "mcphost.asgi.application"
ASGI_FACTORY = "mcphost.asgi.make_application"
WSGI_APPLICATION = "mcphost.wsgi.application"
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
            ],
            "builtins": ["mcphost.escaping"],
        },
    }
]
# Forms and widgets use the same template engine, and so the same rule for escaping.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"


# For a PostgreSQL that does not answer. Options in DATABASE_URL (?connect_timeout=…) override these.
_REACH = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def _database(url: str) -> dict[str, Any]:
    config: dict[str, Any] = {**dj_database_url.parse(url), "CONN_MAX_AGE": 60}
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {
            # A transaction that reads first and then writes cannot wait for the lock: it would fail.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
        # Worker threads need a file: a database in memory belongs to one connection.
        config["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    else:
        config["CONN_HEALTH_CHECKS"] = True
        config["OPTIONS"] = {**_REACH, **config.get("OPTIONS", {})}
    return config


DATABASES = {"default": _database(DATABASE_URL or f"sqlite:///{DATA_DIR / 'mcphost.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LANGUAGE_CODE = "en"
# DATA_DIR has space; the system's temporary directory may be small and in memory.
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "incoming"
FILE_UPLOAD_HANDLERS = ["servers.front.files.NoFiles"]
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
DATA_UPLOAD_MAX_NUMBER_FIELDS, DATA_UPLOAD_MAX_NUMBER_FILES = 1000, 10
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# --- Security
_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "mcphost_session", "mcphost_csrf"
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_SSL_REDIRECT = _https and BEHIND_PROXY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Nothing is loaded from another origin, and no text is evaluated: Alpine.js of unfold is its CSP build.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "object-src": ["'none'"],
    }
}
SOCIALACCOUNT_ADAPTER = "access.sso.account.SocialAdapter"
SOCIALACCOUNT_ONLY = True  # allauth is used for single sign-on only
ACCOUNT_EMAIL_VERIFICATION = "none"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False  # the audit has the logins
AXES_LOCKOUT_TEMPLATE = "locked_out.html"
# `up` makes DATA_DIR. The owner of the domain decides about its subdomains and preload lists.
SILENCED_SYSTEM_CHECKS = ["files.E001", "security.W005", "security.W021"]
if not _https:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# --- REST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["api.permissions.ByRole"],
    "DEFAULT_RENDERER_CLASSES": ["api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.AutoSchema",
    "EXCEPTION_HANDLER": "api.problems.handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "MCP Host",
    "DESCRIPTION": "Takes a Model Context Protocol server from its source to a URL.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "ServerStatus": "api.enums.SERVER_STATUS",
        "DeploymentStatus": "api.enums.DEPLOYMENT_STATUS",
        "StepStatus": "api.enums.STEP_STATUS",
        "HealthStatus": "api.enums.HEALTH_STATUS",
        "WebHookKind": "hooks.models.Kind",
        "ChannelKind": "notices.kinds.choices",
        "ChannelScope": "notices.models.Scope",
        "TokenScope": "servers.models.token.Scope",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.schema.add_problems",
    ],
}

# --- Live feed
EVENTSTREAM_STORAGE_CLASS = "servers.streams.storage.EventStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "servers.streams.access.ChannelManager"

LOGGING_CONFIG = None
logs.configure(LOG_FORMAT, LOG_LEVEL, [SECRET_KEY, *SECRET_ENCRYPTION_KEYS, *filter(None, [ADMIN_PASSWORD])])

# --- Admin
from mcphost.admin_site import UNFOLD  # noqa: E402, F401  (Django reads it here)
