from django.contrib import admin


class ModelrySite(admin.AdminSite):
    site_title = "Modelry admin"
    site_header = "Modelry admin"
