"""Uploads of archives. A file that is too large is refused while it arrives, not afterwards."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from api.parsers import plain
from servers import uploads
from servers.front.larger import FRAMING

PART = "archive"


class Cap(FileUploadHandler):
    """Counts bytes before the handlers that store them. Raises `TooLarge` above UPLOAD_MAX_BYTES."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0

    def handle_raw_input(self, input_data: Any, META: Any, content_length: int, *_: Any, **__: Any) -> None:
        if content_length > settings.UPLOAD_MAX_BYTES + FRAMING:
            raise uploads.too_large()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.received += len(raw_data)
        if self.received > settings.UPLOAD_MAX_BYTES:
            raise uploads.too_large()
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


def limit_uploads(request: HttpRequest) -> None:
    """Sets the limit. Call it before anything reads the body: with a session, the CSRF check reads it."""
    request.upload_handlers = [Cap(), *request.upload_handlers]


def archive_of(request: Request) -> UploadedFile[bytes] | None:
    file = request.FILES.get(PART)
    return file if isinstance(file, UploadedFile) else None


def required_archive(request: Request) -> UploadedFile[bytes]:
    file = archive_of(request)
    if file is None:
        raise ValidationError({PART: "Send the archive as the part `archive` of multipart/form-data."})
    return file


def fields_of(request: Request) -> Any:
    """The JSON document of the request, or of the part `server` of a form. In a form the source is an upload
    by default. Raises `ValidationError`."""
    if not request.content_type or not request.content_type.startswith("multipart/"):
        return request.data
    text = request.POST.get("server") or "{}"
    try:
        document = plain(orjson.loads(text))
    except (orjson.JSONDecodeError, TypeError):
        document = None
    if not isinstance(document, dict):
        raise ValidationError({"server": "This part must be a JSON object."})
    return {"source": {"kind": "upload"}, **document}
