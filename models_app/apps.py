from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ModelsAppConfig(AppConfig):
    name = "models_app"
    verbose_name = "Model registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from models_app import checks  # noqa: F401  (registers the system checks)


class ModelryAdminConfig(AdminConfig):
    default_site = "models_app.admin.site.ModelrySite"

    def ready(self) -> None:
        super().ready()
        # Not from the package itself: importing the site from it would register the tables on a site not yet there.
        from models_app.admin import tables  # noqa: F401
