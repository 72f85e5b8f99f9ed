"""The pages of notice channels: the list, one channel with its notices, and its actions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access.actor import at_console
from console import attention
from console.base import RoleAdmin
from console.channel_form import ChannelForm
from console.views import ConsoleView
from hosting.errors import UserError
from notices.models import Channel, Notice, State
from servers import channels, display
from servers.ids import id_in

SHOWN = 50


def pill(tone: str, text: str) -> SafeString:
    return format_html('<span class="mh-pill" data-tone="{}">{}</span>', tone, text)


def health(channel: Channel) -> SafeString:
    if channel.disabled_reason:
        return pill("red", "Turned off")
    if not channel.enabled:
        return pill("grey", "Off")
    return pill("amber", "Failing") if channel.failing_since else pill("green", "On")


class ChannelView(ConsoleView):
    """A page about one of the channels that the person manages."""

    def channel(self) -> Channel:
        return get_object_or_404(channels.managed_by(self.request.user), pk=self.kwargs["pk"])

    def confirm(self, title: str, action: dict[str, Any], **context: Any) -> HttpResponse:
        given = {"back": self.home(), "action": action, **context}
        return self.page("admin/servers/confirm.html", title, **given)

    def home(self) -> str:
        if "pk" not in self.kwargs:
            return reverse("admin:notices_channel_changelist")
        return reverse("admin:notices_channel_change", args=[self.kwargs["pk"]])

    def secret_page(self, channel: Channel, secret: str) -> HttpResponse:
        return self.page("admin/notices/secret.html", channel.name, channel=channel, secret=secret)


class AddView(ChannelView):
    def get(self, request: HttpRequest) -> HttpResponse:
        return self._ask(ChannelForm(user=request.user))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ChannelForm(request.POST, user=request.user)
        if not form.is_valid():
            return self._ask(form)
        try:
            channel, secret = channels.create(by=at_console(request), fields=form.cleaned_data)
        except (UserError, ValidationError) as error:
            self.fail(error)
            return self._ask(form)
        if channel.is_signed():
            return self.secret_page(channel, secret)
        self.note(f"{channel} was added. Send a test to see it arrive.")
        return HttpResponseRedirect(reverse("admin:notices_channel_change", args=[channel.pk]))

    def _ask(self, form: ChannelForm) -> HttpResponse:
        sentences = ["From now on failures and recoveries of these servers are sent there, each once."]
        return self.confirm("Add a channel", {"label": "Add channel"}, form=form, sentences=sentences)


class EditView(ChannelView):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        return self._ask(channel, ChannelForm(user=request.user, channel=channel))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        form = ChannelForm(request.POST, user=request.user, channel=channel)
        if not form.is_valid():
            return self._ask(channel, form)
        try:
            by = at_console(request)
            changed, secret = channels.change(channel=channel, by=by, fields=form.cleaned_data)
        except (UserError, ValidationError) as error:
            self.fail(error)
            return self._ask(channel, form)
        self.note(f"{channel} was changed.")
        if secret:
            self.note("The signing secret was dropped: it belonged to another scheme, host or port.")
            if changed.is_signed():
                return self.secret_page(changed, secret)
        return HttpResponseRedirect(self.home())

    def _ask(self, channel: Channel, form: ChannelForm) -> HttpResponse:
        waiting = channel.notices.filter(state=State.PENDING).count()
        sentences = [
            f"Pending notices ({waiting}) are sent with the new settings."
            if waiting
            else "Notices from now on are sent with the new settings."
        ]
        return self.confirm(str(channel), {"label": "Save"}, form=form, sentences=sentences)


class TestView(ChannelView):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        sentences = [f"A test notice is sent to {channel.host}, and retried like any other."]
        refusal = "" if channel.enabled else "The channel is turned off."
        return self.confirm(
            f"Send a test: {channel}", {"label": "Send a test"}, sentences=sentences, refusal=refusal
        )

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        try:
            channels.test(channel=channel, by=at_console(request))
        except UserError as error:
            self.fail(error)
        else:
            self.note("The test is being sent; its status is shown below.")
        return HttpResponseRedirect(self.home())


class RotateView(ChannelView):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        sentences = [
            "A new signing secret is created and shown once.",
            "For one day notices are signed with both, so that the receiver has time to change.",
        ]
        action = {"label": "Create new secret"}
        return self.confirm(f"New secret: {self.channel()}", action, sentences=sentences)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        return self.secret_page(channel, channels.rotate(channel=channel, by=at_console(request)))


class RemoveView(ChannelView):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        sentences = [f"No more notices are sent to {channel.host}.", "Its notices are deleted, sent or not."]
        action = {"label": "Remove channel", "danger": True}
        return self.confirm(f"Remove: {channel}", action, sentences=sentences)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self.channel()
        self.note(f"{channel} is removed.")
        channels.remove(channel=channel, by=at_console(request))
        return HttpResponseRedirect(reverse("admin:notices_channel_changelist"))


class SendAgainView(ChannelView):
    def get(self, request: HttpRequest, pk: int, notice: int) -> HttpResponse:
        row = self._notice(notice)
        refusal = "" if row.state == State.FAILED else "This notice has not failed."
        sentences = ["It is sent again with the same id, so that the receiver can recognise it."]
        return self.confirm(
            f"Send again: {row.payload['data']['headline']}",
            {"label": "Send again"},
            sentences=sentences,
            refusal=refusal,
        )

    def post(self, request: HttpRequest, pk: int, notice: int) -> HttpResponse:
        try:
            channels.send_again(notice=self._notice(notice), by=at_console(request))
        except UserError as error:
            self.fail(error)
        else:
            self.note("The notice is being sent again.")
        return HttpResponseRedirect(self.home())

    def _notice(self, pk: int) -> Notice:
        return get_object_or_404(self.channel().notices, pk=pk)


VIEWS: dict[str, type[ChannelView]] = {
    "edit": EditView,
    "test": TestView,
    "rotate": RotateView,
    "remove": RemoveView,
}


@admin.register(Channel)
class ChannelAdmin(RoleAdmin):
    list_title = "Notices"
    list_display = ["label", "fares", "tells", "about", "owner", "arrived"]
    list_filter = [attention.OfChannels, "kind", "enabled"]
    search_fields = ["name", "host"]
    search_help_text = "Name or host"
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def may_operate(self, request: HttpRequest, obj: Channel) -> bool:
        return True  # of those that one sees

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        return channels.managed_by(request.user)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(f"<id:pk>/{name}/", wrap(view.as_view(model_admin=self)), name=f"notices_channel_{name}")
            for name, view in VIEWS.items()
        ]
        again = path(
            "<id:pk>/notices/<id:notice>/again/",
            wrap(SendAgainView.as_view(model_admin=self)),
            name="notices_notice_again",
        )
        return [again, *own, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        return AddView.as_view(model_admin=self)(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        channel = get_object_or_404(channels.managed_by(request.user), pk=id_in(object_id))
        frame = {**self.admin_site.each_context(request), "title": channel.name, "opts": self.opts}
        newest = list(channel.notices.all()[:SHOWN])
        page = {
            "channel": channel,
            "health": health(channel),
            "notices": newest,
            "tells": self.tells(channel),
            "soon": any(notice.state == State.PENDING and notice.attempts < 2 for notice in newest),
        }
        return render(request, "admin/notices/channel.html", {**frame, **page})

    @admin.display(description="Channel", ordering="name")
    def label(self, channel: Channel) -> SafeString:
        return format_html(
            '<span class="mh-name">{}</span><span class="mh-sub">{}, {}</span>',
            channel.name,
            channel.get_kind_display(),
            channel.host,
        )

    @admin.display(description="Status")
    def fares(self, channel: Channel) -> SafeString:
        return health(channel)

    @admin.display(description="Events")
    def tells(self, channel: Channel) -> str:
        wanted = {"failed": channel.on_failed, "recovered": channel.on_recovered, "held": channel.on_held}
        return ", ".join(event for event, on in wanted.items() if on) or "nothing"

    @admin.display(description="Servers")
    def about(self, channel: Channel) -> str:
        return "every server" if channel.scope == "all" else "chosen servers"

    @admin.display(description="Last delivered", ordering="last_ok_at")
    def arrived(self, channel: Channel) -> SafeString | str:
        return display.moment(channel.last_ok_at) if channel.last_ok_at else "never"
