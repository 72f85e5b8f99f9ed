"""Django's WSGI application: everything but the gateway and the live feeds."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mcphost.settings")
application = get_wsgi_application()
