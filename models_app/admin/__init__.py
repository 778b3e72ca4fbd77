"""Django's admin for owners and site admins."""
