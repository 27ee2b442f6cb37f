"""Operations of relays: results where the caller acts, errors where it cannot, nothing believed that does not hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from tertulia.errors import (
    BadAnswerError,
    PaymentError,
    RelayBusyError,
    RelayGoneError,
    RelayQuotaError,
    RelayRefusedError,
    RelayTooNewError,
    RelayTooOldError,
    RelayUnavailableError,
    SegmentSealedError,
    UnreachableError,
    WrongRelayError,
)
from tertulia.relays import RelayClient, SegmentAddr
from tertulia.transport.interface import Purpose, read_answer
from tertulia_protocol.codec import serialize
from tertulia_protocol.relay_api.limits import PROTOCOL_VERSION
from tertulia_protocol.relay_api.records import HeadState, Position, SegmentConfig, SignedHead
from tertulia_protocol.relay_api.requests import Op, Payment, PaymentType
from tertulia_protocol.relay_api.responses import (
    AppendedBody,
    BusyBody,
    EntriesBody,
    Entry,
    RelayInfo,
    RelayLimits,
    Response,
    Status,
)
from tertulia_protocol.signing import SigningSeed
from tertulia_relay.delivery.settings import Settings
from tests.support.memory_relay import MemoryRelay, MemoryTransport, lose
from tests.support.virtual_clock import SeededRng, VirtualClock, virtual


def seed(text: str) -> SigningSeed:
    return SigningSeed(hashlib.sha256(text.encode()).digest())


APPEND, READ, ADMIN, HEIR = seed("append"), seed("read"), seed("admin"), seed("heir")
CONFIG = SegmentConfig(
    segment_class=2, ttl_class=3, append_vk=APPEND.public_key, read_vk=READ.public_key, admin_vk=ADMIN.public_key
)
OWN_QUOTA = Payment(PaymentType.SEGMENT_QUOTA)


def entry(text: str, size: int = 1024) -> bytes:
    return hashlib.shake_128(text.encode()).digest(size)


class World:
    """A relay, a client, and (for what a liar says) a way to change every answer."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.relay = MemoryRelay(clock=VirtualClock(), settings=settings)
        self.transport = MemoryTransport(self.relay)
        self.client = RelayClient(transport=self, rng=SeededRng("client"))
        self.lie: Callable[[Response], Response] = lambda response: response
        self.address = self.relay.address
        self.segment = SegmentAddr(relay=self.address, segment_id=CONFIG.segment_id(self.address.relay_pk))

    async def __aenter__(self):
        await self.relay.__aenter__()
        self.payment = Payment(PaymentType.ENROLMENT_CODE, await self.relay.add_code())
        await self.client.create(self.address, CONFIG, self.payment)
        return self

    async def __aexit__(self, *_exc):
        await self.relay.__aexit__()

    async def send(self, address, request, *, stream):
        response = self.lie(await self.transport.send(address, request, stream=stream))
        return read_answer(response.to_frame(), request)

    async def close(self):
        await self.transport.close()

    async def append(self, text="one", **options):
        options.setdefault("key", APPEND)
        return await self.client.append(self.segment, entry(text), **options)

    async def read(self, after_seq=0, **options):
        return await self.client.read(self.segment, key=READ, after_seq=after_seq, **options)

    def head(self, seq: int, *, key: SigningSeed | None = None, segment_id: bytes | None = None) -> SignedHead:
        return SignedHead.make(
            relay_key=key or self.relay.key,
            segment_id=segment_id or self.segment.segment_id,
            position=Position(seq, b"c" * 32),
            state=HeadState.OPEN,
            utc_day=1,
        )


def rows(world) -> str:
    return repr(world.relay.storage._tables)


# --- What holds -----------------------------------------------------------------------------------------------------


@virtual
async def test_entries_are_read_back_as_they_were_appended():
    async with World() as world:
        start = Position.start(world.segment.segment_id)
        one = await world.append("one")
        assert (one.status, one.seq, one.head.position) == (
            Status.OK, 1, start.after(hashlib.sha256(entry("one")).digest()),
        )  # fmt: skip
        again = await world.append("one")
        assert (again.status, again.seq) == (Status.DUP, 1)
        await world.append("two", if_head=one.head.position)
        read = await world.read()
        assert read.entries == (Entry(1, entry("one")), Entry(2, entry("two")))
        assert read.head.position.seq == 2
        assert (await world.read(1)).entries == (Entry(2, entry("two")),)
        assert (await world.read(2)).entries == ()
        assert (await world.read(7)).head.position.seq == 2


@virtual
async def test_long_logs_come_in_pages():
    async with World() as world:
        for number in range(6):
            await world.append(f"entry {number}")
        got: list[int] = []
        while len(got) < 6:
            page = await world.read(len(got), max_bytes=2048)
            assert len(page.entries) == 2
            got += [item.seq for item in page.entries]
        assert got == [1, 2, 3, 4, 5, 6]


@virtual
async def test_a_read_waits_for_the_next_entry():
    async with World() as world:
        clock = VirtualClock()
        assert (await world.read(wait_s=50)).entries == ()
        assert clock.monotonic() == 50


@virtual
async def test_lost_races_and_closed_segments_are_results():
    async with World() as world:
        start = Position.start(world.segment.segment_id)
        one = await world.append("one")
        conflict = await world.append("two", if_head=start)
        assert (conflict.status, conflict.head.position, conflict.seq) == (Status.CONFLICT, one.head.position, None)
        frozen = await world.client.freeze(world.segment, key=ADMIN)
        assert frozen.status is Status.OK
        assert (await world.append("three")).status is Status.FROZEN
        assert (await world.append("four", key=ADMIN, admin=True)).status is Status.OK
        head = (await world.read()).head.position
        sealed = await world.client.seal(
            world.segment, entry("last"), key=ADMIN, if_head=head, heir_vk=HEIR.public_key, retire_days=60
        )
        assert (sealed.status, sealed.seq, sealed.head.state) == (Status.OK, 3, HeadState.SEALED)
        assert (await world.append("five")).status is Status.SEALED
        unsealed = await world.client.unseal(world.segment, key=HEIR, if_head=sealed.head.position)
        assert (unsealed.status, unsealed.head.state) == (Status.OK, HeadState.OPEN)


@virtual
async def test_a_busy_relay_says_when_to_come_again():
    async with World(Settings(limits=RelayLimits(append_burst_units=1))) as world:
        assert (await world.append("one")).status is Status.OK
        busy = await world.append("two")
        assert busy.status is Status.BUSY
        assert busy.retry_after >= 1


@virtual
async def test_a_full_segment_is_a_result():
    async with World(Settings(limits=RelayLimits(log_quota_bytes=2048))) as world:
        assert (await world.append("one")).status is Status.OK
        assert (await world.append("two")).status is Status.QUOTA


@virtual
async def test_an_empty_segment_can_be_dropped_and_dropping_it_again_is_fine():
    async with World() as world:
        await world.client.drop(world.segment, key=ADMIN)
        await world.client.drop(world.segment, key=ADMIN)
        assert (await world.append()).status is Status.GONE
        with pytest.raises(RelayGoneError) as caught:
            await world.read()
        assert caught.value.code == "relay.gone"


@virtual
async def test_blobs_are_kept_by_their_hash():
    async with World() as world:
        data, secret = entry("blob", 4096), b"s" * 32
        options = {"payment": OWN_QUOTA, "delete_hash": hashlib.sha256(secret).digest(), "ttl_class": 3}
        mine = {"segment_id": world.segment.segment_id, "key": APPEND}
        blob_id = await world.client.put_blob(world.address, data, **options, **mine)
        assert blob_id == hashlib.sha256(data).digest()
        assert await world.client.get_blob(world.address, blob_id) == data
        with pytest.raises(RelayRefusedError):
            await world.client.delete_blob(world.address, blob_id, b"x" * 32)
        await world.client.delete_blob(world.address, blob_id, secret)
        await world.client.delete_blob(world.address, blob_id, secret)
        with pytest.raises(RelayGoneError):
            await world.client.get_blob(world.address, blob_id)


@virtual
async def test_a_sealed_segment_pays_for_no_blob():
    async with World() as world:
        start = Position.start(world.segment.segment_id)
        await world.client.seal(
            world.segment, entry("last"), key=ADMIN, if_head=start, heir_vk=HEIR.public_key, retire_days=60
        )
        with pytest.raises(SegmentSealedError) as caught:
            await world.client.put_blob(
                world.address, entry("blob", 4096), payment=OWN_QUOTA, delete_hash=bytes(32), ttl_class=3,
                segment_id=world.segment.segment_id, key=APPEND,
            )  # fmt: skip
        assert caught.value.code == "relay.sealed"


@virtual
async def test_what_is_not_paid_is_not_made():
    async with World() as world:
        before = rows(world)
        other = replace(CONFIG, append_vk=READ.public_key)
        with pytest.raises(PaymentError) as caught:
            await world.client.create(world.address, other, Payment(PaymentType.ENROLMENT_CODE, b"x" * 16))
        assert caught.value.code == "relay.payment"
        assert rows(world) == before
        # What exists costs nothing, whatever the payment.
        assert (await world.client.create(world.address, CONFIG, world.payment)).position.seq == 0


@virtual
async def test_a_wrong_key_is_refused_and_changes_nothing():
    async with World() as world:
        before = rows(world)
        with pytest.raises(RelayRefusedError) as caught:
            await world.append(key=READ)
        assert caught.value.code == "relay.refused"
        with pytest.raises(RelayRefusedError):
            await world.client.read(world.segment, key=APPEND, after_seq=0)
        assert rows(world) == before


@virtual
async def test_every_purpose_and_segment_has_a_stream_of_its_own():
    async with World() as world:
        await world.client.info(world.address)
        await world.append()
        await world.read()
        await world.client.read(world.segment, key=READ, after_seq=0, purpose=Purpose.REPLY)
        segment_id = world.segment.segment_id.hex()
        assert [sent.stream for sent in world.transport.sent] == [
            f"create:{segment_id}", "info", f"append:{segment_id}", f"read:{segment_id}", f"reply:{segment_id}",
        ]  # fmt: skip


@virtual
async def test_a_lost_answer_is_an_unreachable_relay_and_asking_again_is_safe():
    async with World() as world:
        world.transport.after = lose(1, Op.APPEND)
        with pytest.raises(UnreachableError):
            await world.append("one")
        assert (await world.append("one")).status is Status.DUP


# --- Statuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (Status.GONE, RelayGoneError, "relay.gone"),
        (Status.DENY, RelayRefusedError, "relay.refused"),
        (Status.TOOBIG, RelayRefusedError, "relay.refused"),
        (Status.PAY, PaymentError, "relay.payment"),
        (Status.MALFORMED, RelayRefusedError, "relay.refused"),
        (Status.UNAVAILABLE, RelayUnavailableError, "relay.unavailable"),
        (Status.QUOTA, RelayQuotaError, "relay.quota"),
        (Status.SEALED, SegmentSealedError, "relay.sealed"),
        (Status.DUP, RelayRefusedError, "relay.refused"),
        (Status.CONFLICT, RelayRefusedError, "relay.refused"),
        (Status.FROZEN, RelayRefusedError, "relay.refused"),
    ],
)
@virtual
async def test_every_other_end_of_a_read_has_its_error(status, kind, code):
    async with World() as world:
        world.lie = lambda response: replace(response, status=status, body=b"")
        with pytest.raises(kind) as caught:
            await world.read()
        assert caught.value.code == code


@virtual
async def test_a_busy_relay_is_an_error_where_it_is_no_result():
    async with World() as world:
        world.lie = lambda response: replace(response, status=Status.BUSY, body=serialize(BusyBody(17)))
        with pytest.raises(RelayBusyError) as caught:
            await world.read()
        assert (caught.value.code, caught.value.retry_after) == ("relay.busy", 17)
        assert (await world.append()).retry_after == 17


# --- Who the relay is -----------------------------------------------------------------------------------------------


@virtual
async def test_a_relay_tells_its_limits():
    async with World() as world:
        info = await world.client.info(world.address)
        assert (info.relay_pk, info.limits) == (world.address.relay_pk, RelayLimits())


@virtual
async def test_a_relay_with_another_key_is_refused():
    async with World() as world:
        known = replace(world.address, relay_pk=seed("the one we were told of").public_key)
        world.transport._relays[known.uri] = world.relay
        with pytest.raises(WrongRelayError) as caught:
            await world.client.info(known)
        assert caught.value.code == "relay.wrong_key"
        assert world.address.uri in str(caught.value)


def lying_info(world, **fields):
    info = RelayInfo(
        **{"relay_pk": world.address.relay_pk, "protocol_min": PROTOCOL_VERSION, "protocol_max": PROTOCOL_VERSION,
           "utc_day": 1, "limits": RelayLimits(), **fields},
    )  # fmt: skip
    return lambda response: replace(response, body=serialize(info.sign(world.relay.key)))


@virtual
async def test_who_cannot_sign_for_the_relay_is_not_the_relay():
    async with World() as world:
        world.lie = lambda response: replace(response, body=response.body[:-1] + bytes([response.body[-1] ^ 1]))
        with pytest.raises(WrongRelayError):
            await world.client.info(world.address)


@virtual
async def test_a_relay_of_another_time_is_refused_politely():
    async with World() as world:
        later, earlier = PROTOCOL_VERSION + 1, PROTOCOL_VERSION - 1
        world.lie = lying_info(world, protocol_min=later, protocol_max=later)
        with pytest.raises(RelayTooNewError) as new:
            await world.client.info(world.address)
        assert new.value.code == "relay.too_new"
        world.lie = lying_info(world, protocol_min=earlier, protocol_max=earlier)
        with pytest.raises(RelayTooOldError) as old:
            await world.client.info(world.address)
        assert old.value.code == "relay.too_old"
        world.lie = lying_info(world, protocol_min=earlier, protocol_max=later)
        await world.client.info(world.address)


# --- What a relay may not say ---------------------------------------------------------------------------------------


async def refuses(ask) -> None:
    with pytest.raises(BadAnswerError) as caught:
        await ask()
    assert caught.value.code == "relay.bad_answer"


@virtual
async def test_a_head_that_the_relay_did_not_sign_is_refused():
    async with World() as world:
        await world.append()
        world.lie = lambda response: replace(response, head=world.head(1, key=seed("thief")))
        await refuses(world.read)
        await refuses(world.append)


@virtual
async def test_a_head_of_another_segment_is_refused():
    async with World() as world:
        await world.append()
        world.lie = lambda response: replace(response, head=world.head(1, segment_id=b"o" * 32))
        await refuses(world.read)


@virtual
async def test_an_answer_without_a_head_is_refused():
    async with World() as world:
        await world.append()
        world.lie = lambda response: replace(response, head=None)
        await refuses(world.read)
        await refuses(world.append)
        await refuses(lambda: world.client.create(world.address, CONFIG, world.payment))


@pytest.mark.parametrize("body", [b"", b"\0", b"x" * 9])
@virtual
async def test_a_malformed_body_is_refused(body):
    async with World() as world:
        world.lie = lambda response: replace(response, body=body)
        await refuses(world.append)
        await refuses(lambda: world.client.info(world.address))
        if body != b"\0":  # an empty list of entries
            await refuses(world.read)


def lying_entries(world, *entries, head=9):
    body = serialize(EntriesBody(tuple(entries)))
    return lambda response: replace(response, head=world.head(head), body=body)


@pytest.mark.parametrize("places", [[1, 3], [2], [0, 1], [1, 1], [2, 1]], ids=repr)
@virtual
async def test_entries_out_of_order_are_refused(places):
    async with World() as world:
        world.lie = lying_entries(world, *(Entry(seq, entry("x")) for seq in places))
        await refuses(world.read)


@pytest.mark.parametrize("size", [0, 1023, 1025, 4095])
@virtual
async def test_an_entry_of_another_size_is_refused(size):
    async with World() as world:
        world.lie = lying_entries(world, Entry(1, bytes(size)))
        await refuses(world.read)


@virtual
async def test_entries_that_the_head_does_not_cover_are_refused():
    async with World() as world:
        world.lie = lying_entries(world, Entry(1, entry("x")), Entry(2, entry("y")), head=1)
        await refuses(world.read)


@virtual
async def test_a_head_ahead_of_us_without_entries_is_refused():
    """Else a relay could keep a client reading for ever."""
    async with World() as world:
        world.lie = lying_entries(world, head=3)
        await refuses(world.read)
        assert (await world.read(3)).entries == ()


@pytest.mark.parametrize("seq", [0, 2, 1 << 63])
@virtual
async def test_a_place_that_the_head_does_not_cover_is_refused(seq):
    async with World() as world:
        world.lie = lambda response: replace(response, head=world.head(1), body=serialize(AppendedBody(seq)))
        await refuses(world.append)


@virtual
async def test_another_blob_is_refused():
    async with World() as world:
        await world.client.put_blob(
            world.address, entry("blob", 4096), payment=world.payment, delete_hash=bytes(32), ttl_class=0
        )
        blob_id = hashlib.sha256(entry("blob", 4096)).digest()
        world.lie = lambda response: replace(response, body=entry("other", 4096))
        await refuses(lambda: world.client.get_blob(world.address, blob_id))
