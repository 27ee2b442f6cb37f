"""From a request to its response: what is checked before the writer, in the protocol's order (3.5, E1, E34)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tertulia_protocol.codec import serialize
from tertulia_protocol.relay_api import requests
from tertulia_protocol.relay_api.limits import PROTOCOL_VERSION
from tertulia_protocol.relay_api.records import SignedHead
from tertulia_protocol.relay_api.requests import Op, Request
from tertulia_protocol.relay_api.responses import RelayInfo, Response, Status
from tertulia_protocol.signing import NOBODY, SigningSeed
from tertulia_relay.delivery import access
from tertulia_relay.delivery.admission import check_payment_type
from tertulia_relay.delivery.append import Append, Seal, check_heir
from tertulia_relay.delivery.blobs import (
    DeleteBlob,
    PutBlob,
    PutBlobForCode,
    PutBlobForSegment,
    check_no_value,
    check_ttl_class,
    pays_with_segment,
)
from tertulia_relay.delivery.clock import Clock
from tertulia_relay.delivery.directory import Directory
from tertulia_relay.delivery.freezing import FreezeCounter, Thaw
from tertulia_relay.delivery.heads import Heads
from tertulia_relay.delivery.outcomes import Refusal
from tertulia_relay.delivery.quotas import RateBuckets
from tertulia_relay.delivery.reading import Reading
from tertulia_relay.delivery.segments import (
    Create,
    Drop,
    Extend,
    Freeze,
    Unseal,
    check_asks_something,
    check_config,
    check_self_certifying,
)
from tertulia_relay.delivery.settings import Settings
from tertulia_relay.delivery.writer import Write, Writer
from tertulia_relay.storage.interface import SegmentRow, Storage

Operation = Callable[[Request], Awaitable[Response]]


class Operations:
    """The thirteen operations."""

    def __init__(  # noqa: PLR0913 - the parts of the relay, wired in one place
        self,
        *,
        key: SigningSeed,
        settings: Settings,
        storage: Storage,
        clock: Clock,
        rng: Callable[[int], bytes],
        directory: Directory,
        reading: Reading,
        writer: Writer,
        rates: RateBuckets,
        freezes: FreezeCounter,
        thaw: Thaw,
        heads: Heads,
    ) -> None:
        self._key = key
        self._relay_pk = key.public_key
        self._settings = settings
        self._storage = storage
        self._clock = clock
        self._rng = rng
        self._directory = directory
        self._reading = reading
        self._writer = writer
        self._rates = rates
        self._freezes = freezes
        self._thaw = thaw
        self._heads = heads
        self._info: RelayInfo | None = None
        self._by_op: dict[int, Operation] = {
            Op.INFO: self._answer_info,
            Op.TOKENS: self._answer_tokens,
            Op.CREATE: self._create,
            Op.APPEND: self._append,
            Op.SEAL: self._seal,
            Op.UNSEAL: self._unseal,
            Op.FREEZE: self._freeze,
            Op.READ: self._read,
            Op.EXTEND: self._extend,
            Op.DROP: self._drop,
            Op.BLOB_PUT: self._blob_put,
            Op.BLOB_GET: self._blob_get,
            Op.BLOB_DEL: self._blob_del,
        }

    async def respond(self, request: Request) -> Response:
        """Answer a request. :raises Refusal: an answer without a head. :raises StorageError: the database fails."""
        check_known_operation(request)
        return await self._by_op[request.op](request)

    async def _answer_info(self, request: Request) -> Response:
        _check_bare(request)
        access.parse_args(requests.NoArgs, request)
        utc_day = self._clock.utc_day()
        if self._info is None or self._info.utc_day != utc_day:
            self._info = RelayInfo(
                relay_pk=self._relay_pk,
                protocol_min=PROTOCOL_VERSION,
                protocol_max=PROTOCOL_VERSION,
                utc_day=utc_day,
                limits=self._settings.limits,
            ).sign(self._key)
        return Response(status=Status.OK, nonce=request.nonce, body=serialize(self._info))

    async def _answer_tokens(self, _request: Request) -> Response:
        raise Refusal(Status.UNAVAILABLE)  # blind tokens are not built yet

    async def _create(self, request: Request) -> Response:
        access.check_no_payload(request)
        access.check_no_signature(request)
        args = access.parse_args(requests.CreateArgs, request)
        check_config(args.config)
        check_self_certifying(request, args.config, relay_pk=self._relay_pk)
        check_payment_type(args.payment)
        create = Create(segment_id=request.segment_id, args=args, relay_limits=self._settings.limits)
        return await self._write(request, create)

    async def _append(self, request: Request) -> Response:
        access.check_entry_size(request.payload)
        args = access.parse_args(requests.AppendArgs, request)
        config = await self._directory.config(request.segment_id)
        self._check_signed(request, config.admin_vk if args.admin else config.append_vk)
        access.check_mailbox_entry(config, request.payload)
        append = Append(segment_id=request.segment_id, args=args, data=request.payload, rates=self._rates)
        return await self._write(request, append)

    async def _seal(self, request: Request) -> Response:
        access.check_entry_size(request.payload)
        args = access.parse_args(requests.SealArgs, request)
        config = await self._directory.config(request.segment_id)
        self._check_signed(request, config.admin_vk)
        access.check_mailbox_entry(config, request.payload)
        check_heir(args.heir_vk)
        return await self._write(request, Seal(segment_id=request.segment_id, args=args, data=request.payload))

    async def _unseal(self, request: Request) -> Response:
        access.check_no_payload(request)
        args = access.parse_args(requests.UnsealArgs, request)
        row = access.check_exists(await self._storage.segment(request.segment_id))
        access.check_not_expired(row, utc_day=self._clock.utc_day())
        heir_vk = row.heir or NOBODY
        self._check_signed(request, heir_vk)
        return await self._write(request, Unseal(segment_id=row.id, args=args, heir_vk=heir_vk))

    async def _freeze(self, request: Request) -> Response:
        await self._check_admin(request)
        freeze = Freeze(segment_id=request.segment_id, counter=self._freezes, rng=self._rng)
        return await self._write(request, freeze)

    async def _drop(self, request: Request) -> Response:
        await self._check_admin(request)
        return await self._write(request, Drop(segment_id=request.segment_id))

    async def _check_admin(self, request: Request) -> None:
        access.check_no_payload(request)
        access.parse_args(requests.NoArgs, request)
        self._check_signed(request, (await self._directory.config(request.segment_id)).admin_vk)

    async def _read(self, request: Request) -> Response:
        access.check_no_payload(request)
        args = access.parse_args(requests.ReadArgs, request)
        config = await self._directory.config(request.segment_id)
        self._check_signed(request, config.read_vk)
        row, body = await self._reading.read(request.segment_id, args)
        self._thaw.meet(row)
        return Response(status=Status.OK, nonce=request.nonce, head=self._head(row), body=body)

    async def _extend(self, request: Request) -> Response:
        access.check_no_payload(request)
        access.check_no_signature(request)
        args = access.parse_args(requests.ExtendArgs, request)
        check_asks_something(args)
        check_payment_type(args.payment)
        return await self._write(request, Extend(segment_id=request.segment_id, args=args))

    async def _blob_put(self, request: Request) -> Response:
        access.check_blob_size(request.payload)
        args = access.parse_args(requests.BlobPutArgs, request)
        check_ttl_class(args.ttl_class)
        put = await self._put_for_segment(request, args) if pays_with_segment(args) else _put_for_code(request, args)
        return await self._write(request, put)

    async def _put_for_segment(self, request: Request, args: requests.BlobPutArgs) -> PutBlob:
        check_no_value(args)
        config = await self._directory.config(request.segment_id)
        self._check_signed(request, config.append_vk)
        return PutBlobForSegment(segment_id=request.segment_id, args=args, data=request.payload)

    async def _blob_get(self, request: Request) -> Response:
        _check_bare(request)
        args = access.parse_args(requests.BlobGetArgs, request)
        data = await self._storage.blob(args.blob_id, utc_day=self._clock.utc_day())
        if data is None:
            raise Refusal(Status.GONE)
        return Response(status=Status.OK, nonce=request.nonce, body=data)

    async def _blob_del(self, request: Request) -> Response:
        _check_bare(request)
        return await self._write(request, DeleteBlob(args=access.parse_args(requests.BlobDelArgs, request)))

    def _check_signed(self, request: Request, key: bytes) -> None:
        access.check_somebody(key)
        access.check_signature(request, key, relay_pk=self._relay_pk)

    async def _write(self, request: Request, write: Write) -> Response:
        committed = await self._writer.submit(write)
        row = committed.segment
        if row is not None:
            self._thaw.meet(row)
        return Response(
            status=committed.outcome.status,
            nonce=request.nonce,
            head=None if row is None else self._head(row),
            body=committed.outcome.body,
        )

    def _head(self, row: SegmentRow) -> SignedHead:
        return self._heads.head(row, utc_day=self._clock.utc_day())


def check_known_operation(request: Request) -> None:
    """Check that the operation exists. :raises Refusal: MALFORMED."""
    if request.op not in Op.__members__.values():
        raise Refusal(Status.MALFORMED)


def _check_bare(request: Request) -> None:
    access.check_no_payload(request)
    access.check_no_segment(request)
    access.check_no_signature(request)


def _put_for_code(request: Request, args: requests.BlobPutArgs) -> PutBlob:
    access.check_no_segment(request)
    access.check_no_signature(request)
    check_payment_type(args.payment)
    return PutBlobForCode(args=args, data=request.payload)
