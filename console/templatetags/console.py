"""Template filters of `servers.display` and `servers.plan_shown`."""

from django import template

from servers import display, plan_shown

register = template.Library()
register.filter("pill", display.pill)
register.filter("work_pill", display.work_pill)
register.filter("moment", display.moment)
register.filter("duration", display.duration)
register.filter("milliseconds", display.milliseconds)
register.filter("digest", display.digest)
register.filter("revision", display.revision)
register.filter("trigger", display.trigger)
register.filter("failed_at", display.failed_at)
register.filter("size", display.size)
register.filter("source_summary", display.source_summary)
register.filter("plan_facts", plan_shown.facts)
register.filter("plan_why", plan_shown.why)
register.filter("plan_in_short", plan_shown.in_short)
register.filter("choices", plan_shown.choices)
register.simple_tag(display.running_for)
