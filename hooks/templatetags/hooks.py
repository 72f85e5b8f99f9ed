"""Template filters for deliveries."""

from django import template

from hooks.display import pill, short_ref
from servers import display

register = template.Library()
register.filter("outcome", pill)
register.filter("short_ref", short_ref)
register.filter("deployment_link", display.deployment_link)
