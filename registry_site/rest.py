"""Settings of the REST API: nothing in them depends on the environment."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "models_app.api.auth.TokenAuthentication",
        "models_app.api.auth.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["models_app.api.auth.ActorRequired"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["models_app.api.parsing.LimitedJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "models_app.api.errors.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Modelry REST API",
    "DESCRIPTION": "Register, find, promote and roll back models. Errors are problem details (RFC 9457).",
    "VERSION": "1",
    # 3.1 is the first that has a place for webhooks.
    "OAS_VERSION": "3.1.1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "models_app.api.schema.tell_of_webhooks",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "WebhookKindEnum": "models_app.models.webhooks.WebhookKind",
        "DeliveryStateEnum": "models_app.models.webhooks.DeliveryState",
        "StageEnum": "models_app.models.lifecycle.Stage",
        "RoleEnum": "models_app.models.people.Role",
        "ServiceRoleEnum": ["viewer", "contributor", "owner"],
        "RequestStateEnum": "models_app.models.approvals.RequestState",
        "CheckStateEnum": "models_app.models.approvals.CheckState",
        "VerdictEnum": "models_app.models.approvals.Verdict",
        "StatusEnum": "models_app.models.runs.RunStatus",
        "DeployKindEnum": "models_app.models.deployments.DeployKind",
        "DeploymentKindEnum": "models_app.models.deployments.DeploymentKind",
        "DeploymentStateEnum": "models_app.models.deployments.DeploymentState",
        "WebhookStatusEnum": "models_app.models.webhooks.WebhookStatus",
    },
}
