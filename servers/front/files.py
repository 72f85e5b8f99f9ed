"""Files in forms. Only views that are marked take them, and only from users who are logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, MemoryFileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.views.defaults import bad_request as django_bad_request

from servers.front import bodies, larger
from servers.front.refusal import Refused


class FileRefused(MultiPartParserError):
    """A file was refused. Django handles this error without reading the body again."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class NoFiles(FileUploadHandler):
    """The default upload handler: it refuses every file."""

    def new_file(self, *given: Any, **named: Any) -> None:
        raise FileRefused(415, "No file can be sent to this address, or not without a login.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


class Nameless(FileUploadHandler):
    """Writes an upload into a nameless file, which no crash leaves behind."""

    file: UploadedFile[bytes]

    def new_file(self, *given: Any, **named: Any) -> None:
        super().new_file(*given, **named)
        try:
            opened = bodies.nameless(self.content_length or 0)
        except OSError as error:
            raise FileRefused(507, bodies.FULL) from error
        self.file = UploadedFile(
            opened, self.file_name, self.content_type, 0, self.charset, self.content_type_extra
        )

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            self.file.write(raw_data)
        except OSError as error:
            raise FileRefused(507, bodies.FULL) from error

    def file_complete(self, file_size: int) -> UploadedFile[bytes]:
        self.file.seek(0)
        self.file.size = file_size
        return self.file


class FilesMiddleware:
    """Sets the upload handlers. It runs before the CSRF check, which reads the form."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Any, given: Any, named: Any) -> None:
        if larger.takes_files_from(view, request):
            request.upload_handlers = [MemoryFileUploadHandler(request), Nameless(request)]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400. Says why a file was refused."""
    if not isinstance(exception, FileRefused):
        return django_bad_request(request, exception)
    headers, body = Refused(exception.status, str(exception)).parts(request.path)
    kept = {name.decode(): value.decode() for name, value in headers if name != b"connection"}
    return HttpResponse(body, status=exception.status, headers=kept)
