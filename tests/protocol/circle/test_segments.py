"""Keys of segments: every derivation against HKDF written out, on one relay and on two."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tertulia_protocol.circle.segments import (
    SegAccess,
    admin_keys,
    box_config,
    build_transport,
    export_access,
    heir_key,
    is_coord_secret_of,
    lobby_config,
    lobby_hpke_key,
    log_config,
    segment_access,
    segment_id,
)
from tertulia_protocol.codec import parse, serialize
from tertulia_protocol.errors import DecodeError
from tests.support.circle_world import RELAYS, charter_for, found, hop, relay
from tests.support.rfc5869 import expand, extract

SECRET = bytes(range(32))
COORD = bytes(range(50, 82))
SALT = bytes(range(16))
PKS = [address.relay_pk for address, _ in RELAYS]


def ed25519(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def base(pk: bytes) -> bytes:
    return extract(hashlib.sha256(pk).digest(), SECRET)


def adm(pk: bytes, number: int = 3, secret: bytes = COORD) -> bytes:
    return extract(SALT + number.to_bytes(4, "big") + hashlib.sha256(pk).digest(), secret)


@pytest.mark.parametrize("count", [1, 2])
def test_members_keys_on_every_relay(count):
    access = segment_access(SECRET, 3, PKS[:count])
    assert access.segment_no == 3
    assert access.tag_key == expand(extract(b"", SECRET), b"tl1 tag", 32)
    assert [each.relay_pk for each in access.relays] == PKS[:count]
    for pk, keys in zip(PKS, access.relays, strict=False):
        assert keys.append_seed == expand(base(pk), b"tl1 append", 32)
        assert keys.read_seed == expand(base(pk), b"tl1 read", 32)
        assert keys.wrap_key == expand(base(pk), b"tl1 wrap", 32)
        assert keys.siv_key == expand(base(pk), b"tl1 siv", 32)
        assert keys.lobby_append_seed == expand(base(pk), b"tl1 lobby", 32)
        assert keys.append_key.public_key == ed25519(keys.append_seed)
        assert keys.read_key.public_key == ed25519(keys.read_seed)
        assert keys.lobby_append_key.public_key == ed25519(keys.lobby_append_seed)


def test_two_relays_share_no_key():
    one, two = segment_access(SECRET, 0, PKS).relays
    data = [bytes(serialize(each)) for each in (one, two)]
    pieces = {each[i : i + 32] for each in data for i in range(0, 192, 32)}
    assert len(pieces) == 12
    admins = [admin_keys(COORD, salt=SALT, segment_no=0, relay_pk=pk) for pk in PKS]
    assert len({key.public_key for keys in admins for key in (keys.admin, keys.lobby_read)}) == 4


def test_coordinators_keys():
    for pk in PKS:
        keys = admin_keys(COORD, salt=SALT, segment_no=3, relay_pk=pk)
        assert keys.admin.public_key == ed25519(expand(adm(pk), b"tl1 admin", 32))
        assert keys.lobby_read.public_key == ed25519(expand(adm(pk), b"tl1 lobby read", 32))
        heir = heir_key(SECRET, salt=SALT, segment_no=3, relay_pk=pk)
        assert heir.public_key == ed25519(expand(adm(pk, 3, SECRET), b"tl1 heir", 32))


def test_the_lobbys_key_is_x_wing():
    pair = lobby_hpke_key(COORD, SALT)
    seed = expand(COORD, b"tl1 lobby hpke" + SALT, 32)
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key().public_bytes_raw()
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:]).public_key().public_bytes_raw()
    assert pair.private == seed
    assert pair.public == mlkem + x25519
    assert len(pair.public) == 1216


def test_known_answers():
    """The same values, fixed: whoever changes a derivation cuts every circle off."""
    one = segment_access(SECRET, 3, PKS[:1])
    keys = admin_keys(COORD, salt=SALT, segment_no=3, relay_pk=PKS[0])
    assert hashlib.sha256(serialize(one)).hexdigest() == ACCESS
    assert keys.admin.public_key.hex() == ADMIN
    assert keys.lobby_read.public_key.hex() == LOBBY_READ
    assert heir_key(SECRET, salt=SALT, segment_no=3, relay_pk=PKS[0]).public_key.hex() == HEIR
    assert hashlib.sha256(lobby_hpke_key(COORD, SALT).public).hexdigest() == LOBBY


def test_the_exporter_of_the_hops_epoch_gives_the_keys():
    ada, bo, _ = found()
    charter = hop(ada.charter)
    context = charter.lineage_id + (1).to_bytes(4, "big")
    secret = ada.group.export_secret("tl1 segment", context, 32)
    assert export_access(ada.group, charter) == segment_access(secret, 1, PKS) == export_access(bo.group, charter)


def test_the_staged_epoch_gives_the_keys_before_it_is_entered():
    ada, bo, _ = found()
    sent = ada.commit(charter=hop(ada.charter))
    (pending,) = ada.group.pending.values()
    assert pending.path_secret
    bo.receive(sent)
    ada.receive(sent)
    assert ada.access == bo.access == export_access(ada.group, ada.charter)


def test_configurations_of_segments():
    transport = build_transport(COORD, segment_no=3, relays=RELAYS, salt=SALT, coord_gen=2)
    access = segment_access(SECRET, 3, PKS)
    for place, pk in enumerate(PKS):
        keys, ref = access.relays[place], transport.relays[place]
        log = log_config(keys, ref)
        append, read = ed25519(keys.append_seed), ed25519(keys.read_seed)
        assert serialize(log) == b"\1\2\3" + append + read + ed25519(expand(adm(pk), b"tl1 admin", 32))
        lobby_read = ed25519(expand(adm(pk), b"tl1 lobby read", 32))
        assert serialize(lobby_config(keys, ref)) == b"\1\1\3" + ed25519(keys.lobby_append_seed) + lobby_read + bytes(
            32
        )
        log.check()
        lobby_config(keys, ref).check()
        assert segment_id(access, transport, place) == hashlib.sha256(b"tl1 seg" + pk + serialize(log)).digest()
    box = box_config(append_vk=PKS[0], read_vk=PKS[1])
    assert serialize(box) == b"\1\1\1" + PKS[0] + PKS[1] + bytes(32)


def test_a_transport_fits_its_secret_only():
    transport = build_transport(COORD, segment_no=3, relays=RELAYS, salt=SALT, coord_gen=2)
    assert is_coord_secret_of(COORD, transport)
    assert not is_coord_secret_of(SECRET, transport)
    first, second = transport.relays
    swapped = replace(transport, relays=(replace(first, admin_vk=second.admin_vk), second))
    assert not is_coord_secret_of(COORD, swapped)
    assert not is_coord_secret_of(COORD, replace(transport, lobby_pk=bytes(1216)))


def test_access_is_read_as_it_is_written_and_shows_nothing():
    access = segment_access(SECRET, 3, PKS)
    data = serialize(access)
    assert len(data) == 4 + 32 + 2 + 2 * 192
    assert parse(SegAccess, data) == access
    for length in (0, 35, 100, len(data) - 1):
        with pytest.raises(DecodeError):
            parse(SegAccess, data[:length])
    shown = repr(access)
    for secret in (access.tag_key, access.relays[0].wrap_key, access.relays[1].append_seed):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_circle_of_one_relay_has_one_segment():
    charter = charter_for(relays=((relay("one"), 0),))
    ada = found(1, charter)[0]
    assert len(ada.access.relays) == 1
    with pytest.raises(IndexError):
        segment_id(ada.access, charter.transport, 1)


ACCESS = "5b621d2b5e15b8016c70a6d55f163f43b0ae788f71af8ab89f70e8e2ff1341b7"
ADMIN = "c069155e2046529c41967284110c107c93dc582a4bdaa61f7af491b2753beff9"
LOBBY_READ = "56be88e2d057ad79453837d796a9b8e0758517e9e35cbd19353a65734466122c"
HEIR = "47c9af67ca6e8b98ab2fb11f7401d9440ee1bd5b67d6a03be0429976288aaead"
LOBBY = "5416c3e63780a3e117da291be31c0fe9d72593801edbb1acee888980b1b1d99a"
