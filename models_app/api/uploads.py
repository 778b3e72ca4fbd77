"""Upload sessions: declare files, send what is not here, seal them into a version. docs/rest.md tells the whole way.

The addresses that files are sent to carry their right in themselves: signed, for one part of one file, for a day.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http import bodies, limits, signing
from models_app.models import UploadFile, UploadSession
from models_app.registry.artifacts import reuse, upload_sealing, upload_sessions
from models_app.registry.artifacts.arrivals import Arrival, Way
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.artifacts.upload_sessions import ADDRESSES, AT_ONCE, KEPT, SMALL, Wanted
from models_app.registry.errors import Invalid

from . import fields
from .base import Door, Listing, address
from .parsing import Strict, Text
from .registering import Registration, check_early, read_registration
from .schema import WRITE, operation
from .versions import Registration as RegistrationIn
from .versions import VersionSerializer

TAG = "Uploads"
PURPOSE = "upload"
HASH_FIRST = "Paths without a digest that are probably here, judged by their size: say it before sending."


class DeclaredFile(Strict):
    """A file to come."""

    path = Text(max_length=1000, help_text="Where it is in the version, folders included.")
    sha256 = serializers.RegexField(
        "^[0-9a-fA-F]{64}$", required=False, help_text="May be said later, while the file is sent."
    )
    size = serializers.IntegerField(min_value=0, max_value=2**62, help_text="Bytes.")


class NewUpload(Strict):
    """A version to come: of which model, what is said of it, and its files."""

    model = Text(max_length=256, help_text="Name of the model.")
    metadata = RegistrationIn(required=False, help_text="As for registering in one call, without “files”.")
    files = DeclaredFile(many=True, required=False)


class Declaration(Strict):
    files = DeclaredFile(many=True)


class Said(Strict):
    path = Text(max_length=1000)
    sha256 = serializers.RegexField("^[0-9a-fA-F]{64}$")


class Saying(Strict):
    """Digests of files that were declared without."""

    files = Said(many=True, help_text=f"At most {AT_ONCE}.")


class Digests(Strict):
    """Files, by digest."""

    sha256 = serializers.ListField(
        child=serializers.RegexField("^[0-9a-fA-F]{64}$"), max_length=AT_ONCE, help_text=f"At most {AT_ONCE}."
    )


class DigestsOrPaths(Digests):
    """Files, by digest; those whose digest was not said yet by path."""

    sha256 = serializers.ListField(
        child=serializers.RegexField("^[0-9a-fA-F]{64}$"), max_length=AT_ONCE, required=False
    )
    paths = serializers.ListField(child=Text(max_length=1000), max_length=AT_ONCE, required=False)


class Sealing(Strict):
    metadata = RegistrationIn(required=False, help_text="Instead of what was said at the beginning.")


class Bundle(serializers.Serializer):
    """Small files together. Each part is called “file”, and its file name is the digest that was declared."""

    file = serializers.ListField(child=serializers.FileField(), help_text=f"Up to {SMALL} bytes each.")


class UploadFileSerializer(serializers.ModelSerializer):
    """A declared file."""

    present = serializers.SerializerMethodField(help_text="Its bytes are here: it need not be sent.")
    verifying = serializers.SerializerMethodField(
        help_text="All of it arrived, and is being read to verify it."
    )
    bundle = serializers.SerializerMethodField(help_text="It may come with others in one request.")

    class Meta:
        model = UploadFile
        fields = ["path", "sha256", "size", "present", "verifying", "bundle"]
        read_only_fields = fields

    def get_present(self, file: UploadFile) -> bool:
        return file.blob_id is not None

    def get_verifying(self, file: UploadFile) -> bool:
        return file.verifying_at is not None

    def get_bundle(self, file: UploadFile) -> bool:
        return upload_sessions.is_small(file)


class UploadSerializer(serializers.ModelSerializer):
    """An upload session."""

    id = serializers.CharField(source="uid")
    url = serializers.SerializerMethodField()
    model = serializers.CharField(source="model_name")
    sealed = serializers.SerializerMethodField(help_text="It is a version now.")
    version_url = serializers.SerializerMethodField(help_text="The version that it became.")
    files_url = serializers.SerializerMethodField(help_text="All its files, and which of them are here.")

    class Meta:
        model = UploadSession
        fields = ["id", "url", "model", "sealed", "created_at", "expires_at", "version_url", "files_url"]
        read_only_fields = fields

    def get_sealed(self, session: UploadSession) -> bool:
        return session.sealed_at is not None

    @extend_schema_field(serializers.URLField())
    def get_url(self, session: UploadSession) -> str:
        return address(self.context["request"], "upload", uid=session.uid)

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_version_url(self, session: UploadSession) -> str | None:
        version = session.version
        if version is None:
            return None
        names = {"name": version.model.name, "revision": str(version.number)}
        return address(self.context["request"], "version", **names)

    @extend_schema_field(serializers.URLField())
    def get_files_url(self, session: UploadSession) -> str:
        return address(self.context["request"], "upload_files", uid=session.uid)


class CreatedUpload(UploadSerializer):
    """A new session with its files as declared."""

    files = UploadFileSerializer(many=True)
    hash_first = serializers.SerializerMethodField(help_text=HASH_FIRST)

    class Meta(UploadSerializer.Meta):
        fields = [*UploadSerializer.Meta.fields, "files", "hash_first"]
        read_only_fields = fields

    def get_hash_first(self, session: UploadSession) -> list[str]:
        return reuse.likely_here(session, by=self.context["request"].actor)


class DeclaredFiles(serializers.Serializer):
    files = UploadFileSerializer(many=True)
    hash_first = serializers.ListField(child=serializers.CharField(), help_text=HASH_FIRST, required=False)


class PartTarget(serializers.Serializer):
    """Where a part goes: send its bytes with exactly this method and these headers, and no token."""

    number = serializers.IntegerField(help_text="From 1.")
    start = serializers.IntegerField(help_text="Its first byte in the file.")
    size = serializers.IntegerField()
    method = serializers.CharField()
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField())


class FileTargets(serializers.Serializer):
    """What to send of a file. A file in one piece is one part."""

    path = serializers.CharField(help_text="The first of those that were declared with these bytes.")
    sha256 = serializers.CharField(allow_blank=True, help_text="Empty till it is said.")
    part_count = serializers.IntegerField()
    arrived = serializers.ListField(child=serializers.IntegerField(), help_text="Parts that are here.")
    missing = serializers.IntegerField(help_text="How many parts are not.")
    parts = PartTarget(many=True, help_text="Addresses of parts that are not here, perhaps not of all.")


class TargetList(serializers.Serializer):
    files = FileTargets(many=True)


class Arrived(serializers.Serializer):
    arrived = serializers.IntegerField(help_text="How many files of this request are here.")


class Completed(Arrived):
    verifying = serializers.IntegerField(
        help_text="How many arrived and are still being read, to verify them. Ask again till none is."
    )
    trouble = serializers.CharField(
        help_text="What kept one of them from being read the last time, if anything."
    )


def _declared(files: list[dict[str, Any]]) -> list[StoredFile]:
    return [StoredFile(file["path"], file.get("sha256", "").lower(), file["size"]) for file in files]


def _registration(view: Door, raw: Any, name: str) -> Registration:
    if not isinstance(raw, dict):
        raise Invalid("metadata", "Must be a JSON object.")
    if "files" in raw:
        raise Invalid("metadata", "Files are declared beside the metadata.")
    registration = read_registration(view, raw)
    check_early(registration, name, view.actor)
    return registration


class UploadList(Door):
    @operation(
        "Begin an upload",
        tag=TAG,
        name="uploads_create",
        takes=NewUpload,
        answers=CreatedUpload,
        status=201,
        is_repeatable=True,
        description="Rights and metadata are checked now. Send the files whose answer says that they are not present, "
        "then seal. More files than fit into one request are declared in further ones.",
    )
    def post(self, request: Any) -> Response:
        body = self.json()
        raw = body.pop("metadata", {})
        sent = self.sent(NewUpload, body)
        registration = _registration(self, raw, sent["model"])

        def work() -> Any:
            session = upload_sessions.begin(
                sent["model"],
                files=_declared(sent.get("files", [])),
                registration=raw,
                create_model=registration.create_model,
                model_fields=registration.model_fields,
                metadata=registration.metadata,
                by=self.actor,
            )
            return self.show(CreatedUpload, session)

        return self.once(201, work, body, raw)


class UploadDetail(Door):
    @operation("Read an upload", tag=TAG, name="uploads_read", answers=UploadSerializer, path="upload")
    def get(self, request: Any, uid: str) -> Response:
        return Response(self.show(UploadSerializer, upload_sessions.find(uid, by=self.actor, to_send=False)))

    @operation("Give an upload up", tag=TAG, name="uploads_delete", status=204, path="upload")
    def delete(self, request: Any, uid: str) -> Response:
        upload_sealing.abort(upload_sessions.find(uid, by=self.actor, to_send=False))
        return Response(status=204)


class UploadFileFilter(filters.FilterSet):
    present = fields.Flag("blob", lookup_expr="isnull", exclude=True, label="Whether it is here.")


class UploadFiles(Listing):
    model = UploadFile
    serializer_class = UploadFileSerializer
    filterset_class = UploadFileFilter
    orderings = {"path": (("path", "asc"),)}

    def rows(self) -> QuerySet[UploadFile]:
        return upload_sessions.find(self.kwargs["uid"], by=self.actor, to_send=False).files.all()

    @operation(
        "List an upload's files",
        tag=TAG,
        name="uploads_files",
        answers=UploadFileSerializer(many=True),
        path="upload",
    )
    def get(self, request: Any, uid: str) -> Response:
        return self.list(request)

    @operation(
        "Declare more files",
        tag=TAG,
        name="uploads_declare",
        takes=Declaration,
        answers=DeclaredFiles,
        status=201,
        path="upload",
        is_repeatable=True,
    )
    def post(self, request: Any, uid: str) -> Response:
        session = upload_sessions.find(uid, by=self.actor)
        sent = self.sent(Declaration)

        def work() -> Any:
            rows = upload_sessions.declare(session, _declared(sent["files"]), by=self.actor)
            hash_first = reuse.likely_here(session, by=self.actor)
            return self.show(DeclaredFiles, {"files": rows, "hash_first": hash_first})

        return self.once(201, work, sent)

    @operation(
        "Say digests",
        tag=TAG,
        name="uploads_say",
        takes=Saying,
        answers=DeclaredFiles,
        path="upload",
        description="Of files that were declared without. Say them as soon as they are known: those whose answer says "
        "that they are present need not be sent any further. Saying them again changes nothing.",
    )
    def patch(self, request: Any, uid: str) -> Response:
        session = upload_sessions.find(uid, by=self.actor)
        digests = {file["path"]: file["sha256"].lower() for file in self.sent(Saying)["files"]}
        rows = upload_sessions.say(session, digests, by=self.actor)
        return Response(self.show(DeclaredFiles, {"files": rows}))


class UploadTargets(Door):
    @operation(
        "Ask where files go",
        tag=TAG,
        name="uploads_targets",
        takes=DigestsOrPaths,
        answers=TargetList,
        path="upload",
        description="Files that are here are left out. Parts may be sent side by side and again; who was interrupted "
        f"asks again and sends the rest. At most {ADDRESSES} addresses are given out at once, good for a day. Files "
        "whose digest was not said yet are asked for by path; those that are left out need it first.",
    )
    def post(self, request: Any, uid: str) -> Response:
        session = upload_sessions.find(uid, by=self.actor)
        sent = self.sent(DigestsOrPaths)
        wanted = upload_sessions.where(session, sent.get("sha256", ()), paths=sent.get("paths", ()))
        return Response({"files": [self._file(session, one) for one in wanted]})

    def _file(self, session: UploadSession, wanted: Wanted) -> dict[str, Any]:
        return {
            "path": wanted.file.path,
            "sha256": wanted.file.sha256,
            "part_count": wanted.arrival.part_count,
            "arrived": wanted.arrived,
            "missing": len(wanted.missing),
            "parts": [self._part(session, wanted, number) for number in wanted.targets],
        }

    def _part(self, session: UploadSession, wanted: Wanted, number: int) -> dict[str, Any]:
        arrival, target = wanted.arrival, wanted.targets[number]
        place = {
            "number": number,
            "start": (number - 1) * arrival.part_size,
            "size": arrival.length_of(number),
        }
        if target is not None:
            return place | {
                "method": target.method,
                "url": target.url,
                "headers": dict(target.headers),
            }
        token = signing.sign(
            PURPOSE,
            session.pk,
            number,
            arrival.uid,
            arrival.way.value,
            arrival.part_count,
            arrival.part_size,
            arrival.size,
            arrival.sha256,
        )
        url = address(self.request, "upload_part", token=token)
        return place | {"method": "PUT", "url": url, "headers": {}}


class UploadPart(Door):
    """Takes what comes to a signed address. Nobody is asked who they are."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @operation(
        "Send a part",
        tag=TAG,
        name="uploads_part",
        takes={"application/octet-stream": OpenApiTypes.BINARY},
        status=204,
        path="part_token",
        errors=(*WRITE,),
        description="To an address that was given out; it needs no token.",
    )
    def put(self, request: Any, token: str) -> Response:
        session, number, uid, way, count, part_size, size, sha256 = signing.opened(PURPOSE, token, valid=KEPT)
        length = bodies.declared_length(request._request)
        if length is None:
            raise Invalid("body", "A part needs its length declared.", next_step="Send Content-Length.")
        arrival = Arrival(uid, Way(way), count, part_size, size, sha256)
        upload_sessions.receive(session, arrival, number, bodies.chunks(request._request), length=length)
        return Response(status=204)


class UploadBundle(Door):
    @operation(
        "Send small files together",
        tag=TAG,
        name="uploads_bundle",
        takes={"multipart/form-data": Bundle},
        answers=Arrived,
        path="upload",
        description="As a form. The file name of each part is its declared SHA-256. All of them count or none.",
    )
    def post(self, request: Any, uid: str) -> Response:
        session = upload_sessions.find(uid, by=self.actor)

        def before_storing(sent: bodies.Form) -> None:
            if sent.fields:
                raise Invalid(min(sent.fields)[:100], "There is no such part.")
            upload_sessions.check_sent(session, sent.files)

        form = bodies.receive_form(
            request._request,
            file_fields=("file",),
            before_storing=before_storing,
            limit=min(SMALL, limits.file_bytes()),
        )
        upload_sessions.claim(session.pk, form.files)
        return Response({"arrived": len(form.files)})


class UploadComplete(Door):
    @operation(
        "Complete files",
        tag=TAG,
        name="uploads_complete",
        takes=Digests,
        answers=Completed,
        path="upload",
        description="When all their parts are sent: they are put together and verified. What went to an object store "
        "that cannot verify it is read by the worker first: repeat the call till nothing is “verifying”.",
    )
    def post(self, request: Any, uid: str) -> Response:
        session = upload_sessions.find(uid, by=self.actor)
        return Response(asdict(upload_sessions.complete(session, self.sent(Digests)["sha256"])))


class UploadSeal(Door):
    @operation(
        "Seal an upload into a version",
        tag=TAG,
        name="uploads_seal",
        takes=Sealing,
        answers=VersionSerializer,
        status=201,
        path="upload",
        is_repeatable=True,
        description="Once all files are here. Model (if asked) and version come into being together or not at all; "
        "asked again, the answer is the same version.",
    )
    def post(self, request: Any, uid: str) -> Response:
        session = upload_sessions.find(uid, by=self.actor)
        body = self.json()
        raw = body.get("metadata", session.registration)
        self.sent(Sealing, {name: value for name, value in body.items() if name != "metadata"})
        registration = read_registration(self, raw if isinstance(raw, dict) else {})
        if not isinstance(raw, dict) or registration.references:
            raise Invalid("metadata", "Must be a JSON object without files.")

        def work() -> Any:
            version = upload_sealing.seal(
                session,
                create_model=registration.create_model,
                model_fields=registration.model_fields,
                metadata=registration.metadata,
                by=self.actor,
            )
            return self.show(VersionSerializer, version)

        return self.once(201, work, body)
