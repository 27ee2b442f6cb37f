"""Circles for tests: real groups on the hybrid suite, honest devices, and coordinators who cheat.

A cheat uses the library itself, with the builder's own checks switched off: what it sends is well-formed and properly
signed. Whoever receives it runs everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tertulia_protocol.circle import rules
from tertulia_protocol.circle.aad import EntryAAD, seal_coord_secret
from tertulia_protocol.circle.charter import (
    Approval,
    Charter,
    Coordinator,
    Policy,
    charter_of,
    group_extensions,
    leaf_capabilities,
)
from tertulia_protocol.circle.entries import InnerHeader, Kind, branch_tag, log_id
from tertulia_protocol.circle.identity import build_credential, member_key, person_seed
from tertulia_protocol.circle.roster import RosterChange, approve
from tertulia_protocol.circle.segments import SegAccess, build_transport, export_access, segment_id
from tertulia_protocol.codec import serialize
from tertulia_protocol.errors import RuleError, TertuliaError
from tertulia_protocol.mls import commit_builder
from tertulia_protocol.mls.ciphersuite import HYBRID
from tertulia_protocol.mls.commit import Commit
from tertulia_protocol.mls.credential import Credential
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.framing import PrivateMessage
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackageBundle, build_key_package
from tertulia_protocol.mls.mls_message import MLSMessage
from tertulia_protocol.mls.proposals import Add, GroupContextExtensions, Proposal, Remove
from tertulia_protocol.mls.tree_math import LeafIndex
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import SigningSeed
from tests.support.mls import LIFETIME, NOW, seeded_rng

LINEAGE = hashlib.sha256(b"a lineage").digest()
GROUP_ID = hashlib.sha256(b"a group").digest()
COORD = hashlib.sha256(b"a coordinators' secret").digest()
NOT_AFTER = NOW + 86400
NAMES = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Fay")


def relay(name: str) -> RelayAddr:
    """Return a relay's address; a name has one key."""
    key = SigningSeed(hashlib.sha256(b"relay " + name.encode()).digest())
    return RelayAddr(relay_pk=key.public_key, uri=f"https://{name}.example")


RELAYS: tuple[tuple[RelayAddr, int], ...] = ((relay("one"), 0), (relay("two"), 1))


def member(name: str, lineage_id: bytes = LINEAGE) -> SigningSeed:
    """Return the member key of a person in the circle."""
    return member_key(person_seed(hashlib.sha256(name.encode()).digest(), 0), lineage_id)


def salt_of(segment_no: int) -> bytes:
    """Return the salt of a segment."""
    return hashlib.sha256(b"salt" + bytes([segment_no])).digest()[:16]


def device_id(name: str, device: int = 0) -> bytes:
    """Return the id of one of a person's devices."""
    return hashlib.sha256(f"{name} {device}".encode()).digest()[:8]


def credential_of(name: str, signature_key: bytes, device: int = 0, lineage_id: bytes = LINEAGE) -> Credential:
    """Return a person's credential for a leaf with this key."""
    return build_credential(
        member=member(name),
        lineage_id=lineage_id,
        device_id=device_id(name, device),
        leaf_signature_key=signature_key,
        not_after=NOT_AFTER,
    ).credential()


def bundle_of(name: str, device: int = 0, *, seed: str = "", **cheats: Any) -> KeyPackageBundle:
    """Return a key package. :param cheats: ``credential``, ``capabilities``, ``leaf_extensions`` in place of ours."""
    rng = seeded_rng(f"{name} {device} {seed}")
    private = rng(32)
    fields: dict[str, Any] = {
        "credential": credential_of(name, HYBRID.signature_public_key(private), device),
        "capabilities": leaf_capabilities(),
    }
    return build_key_package(HYBRID, signature_private=private, lifetime=LIFETIME, rng=rng, **{**fields, **cheats})


def charter_for(
    coordinators: Sequence[str] = ("Ada",),
    *,
    threshold: int = 1,
    relays: Sequence[tuple[RelayAddr, int]] = RELAYS,
    **policy: Any,
) -> Charter:
    """Return the Charter of a new circle."""
    return Charter(
        lineage_id=LINEAGE,
        policy=Policy(**policy),
        coordinators=roster(*coordinators),
        roster_threshold=threshold,
        transport=build_transport(COORD, segment_no=0, relays=relays, salt=salt_of(0), coord_gen=0),
    )


def roster(*names: str) -> tuple[Coordinator, ...]:
    """Return a roster; a person has one rank."""
    return tuple(Coordinator(rank=NAMES.index(name) + 1, member_pk=member(name).public_key) for name in names)


@dataclass(frozen=True, slots=True)
class Sent:
    """An entry without its wrap."""

    header: InnerHeader
    body: bytes
    welcome: Any = None
    tree: Any = None


class Device:
    """One device: a group, the rows that store it, the keys of its segment."""

    def __init__(self, name: str, group: Group, access: SegAccess | None = None) -> None:
        """Start with a full store."""
        self.name = name
        self.group = group
        self.rows = group.rows()
        self.rng = seeded_rng(f"rng of {name} {group.epoch}")
        self.access = access or export_access(group, self.charter)
        self.coord = COORD

    @property
    def charter(self) -> Charter:
        """Return the Charter in force."""
        return charter_of(self.group.extensions)

    @property
    def index(self) -> LeafIndex:
        """Return its leaf."""
        return self.group.own_index

    @property
    def refs(self) -> tuple[bytes, ...]:
        """Return the references of all proposals it has."""
        return tuple(self.group.proposals)

    def keep(self, group: Group) -> None:
        """Store a step."""
        self.group, self.rows = group, group.rows()

    def header(self, **changes: Any) -> InnerHeader:
        """Return the header of what it sends next."""
        log = segment_id(self.access, self.charter.transport)
        tag = branch_tag(
            self.access.tag_key, epoch=self.group.epoch, epoch_authenticator=self.group.epoch_authenticator
        )
        fields: dict[str, Any] = {
            "kind": Kind.MLS,
            "segment_no": self.charter.segment_no,
            "epoch": self.group.epoch,
            "branch_tag": tag,
            "parent": Position.start(log),
            "body_len": 0,
            "log_id": log_id(log),
        }
        return InnerHeader(**{**fields, **changes})

    def commit(
        self,
        *proposals: Proposal,
        charter: Charter | None = None,
        coord: Any = None,
        extensions: tuple[Extension, ...] | None = None,
        references: Sequence[bytes] | None = None,
        **more: Any,
    ) -> Sent:
        """Build a commit with a new Charter; nothing is checked that this device could switch off.

        :param coord: what is in the header beside its hash; by default sealed where the generation goes up.
        """
        if charter is not None:
            extensions = group_extensions(charter)
        if extensions is not None:
            proposals = (*proposals, GroupContextExtensions(extensions))
        references = self.refs if references is None else references
        removed = {each.removed for each in proposals if isinstance(each, Remove)}
        for ref in references:
            stored = self.group.proposals[ref].proposal
            removed |= {stored.removed} if isinstance(stored, Remove) else set()
        if charter is not None and coord is None and charter.transport.coord_gen != self.charter.transport.coord_gen:
            coord = seal_coord_secret(self.group, coord_secret(charter), charter=charter, removed=removed)
        header = self.header()
        built = self.group.build_commit(
            proposals=proposals,
            references=references,
            now=NOW,
            rng=self.rng,
            authenticated_data=serialize(EntryAAD(header_hash=header.hash(), coord=coord or None)),
            **more,
        )
        self.keep(built.group)
        return Sent(header, serialize(MLSMessage(built.message)), built.welcome, built.tree)

    def propose(self, proposal: str, *arguments: Any, **more: Any) -> Sent:
        """Send a proposal of ours: ``update``, ``remove``, ``add`` or ``extensions``."""
        header = self.header()
        build: Callable[..., tuple[PrivateMessage, Group]] = getattr(self.group, f"propose_{proposal}")
        aad = serialize(EntryAAD(header_hash=header.hash()))
        message, group = build(*arguments, authenticated_data=aad, rng=self.rng, **more)
        self.keep(group)
        return Sent(header, serialize(MLSMessage(message)))

    def receive(self, sent: Sent) -> None:
        """Process an entry as a client does: nothing is kept unless everything holds."""
        message, aad = rules.check_entry(sent.header, sent.body, self.group)
        opened = self.group.open(message)
        rules.check_no_coord(opened, aad)
        if not isinstance(opened.body, Commit):
            self.keep(self.group.process_proposal(opened))
            return
        view = rules.stage_commit(opened)
        staged = rules.apply_commit(view)
        if staged.removed_self:
            return
        self.keep(self.group.merge(staged))
        if view.is_hop:
            self.access = export_access(self.group, self.charter)


def coord_secret(charter: Charter) -> bytes:
    """Return the coordinators' secret of a Charter's generation."""
    generation = charter.transport.coord_gen
    return COORD if generation == 0 else hashlib.sha256(COORD + bytes([generation])).digest()


def hop(
    before: Charter,
    *,
    rotate: bool = False,
    relays: Sequence[tuple[RelayAddr, int]] | None = None,
    rev: int = 1,
    **changes: Any,
) -> Charter:
    """Return the Charter of the next segment. :param rotate: renew the coordinators' secret."""
    old = before.transport
    places = relays or [(RelayAddr(relay_pk=each.relay_pk, uri=each.uri), each.role) for each in old.relays]
    number, coord_gen = old.segment_no + 1, old.coord_gen + rotate
    secret = coord_secret(replace(before, transport=replace(old, coord_gen=coord_gen)))
    transport = build_transport(secret, segment_no=number, relays=places, salt=salt_of(number), coord_gen=coord_gen)
    return replace(before, rev=before.rev + rev, transport=transport, **changes)


def approved(before: Charter, after: Charter, *names: str) -> Charter:
    """Return the Charter with a new ``roster_rev`` and the approvals of these coordinators."""
    after = replace(after, roster_rev=before.roster_rev + 1)
    change = RosterChange(group_id=GROUP_ID, before=before, after=after)
    approvals: tuple[Approval, ...] = tuple(approve(change, member(name)) for name in names)
    return replace(after, approvals=approvals)


def found(
    size: int = 3,
    charter: Charter | None = None,
    *,
    bundles: Sequence[KeyPackageBundle] | None = None,
    names: Sequence[str] = NAMES,
    extensions: tuple[Extension, ...] | None = None,
) -> list[Device]:
    """Return the devices of a circle: the first founded it and added all others with one commit."""
    charter = charter or charter_for()
    bundles = bundles or [bundle_of(name) for name in names[:size]]
    first = Group.create(
        suite=HYBRID,
        group_id=GROUP_ID,
        bundle=bundles[0],
        extensions=extensions or group_extensions(charter),
        rng=seeded_rng("founder"),
    )
    access = export_access(first, charter)
    if len(bundles) == 1:
        return [Device(names[0], first, access)]
    adds = [Add(bundle.key_package) for bundle in bundles[1:]]
    built = first.build_commit(proposals=adds, now=NOW, rng=seeded_rng("first commit"))
    assert built.welcome is not None
    devices = [Device(names[0], built.group.merge(built.staged), access)]
    for name, bundle in zip(names[1:], bundles[1:], strict=False):
        devices.append(Device(name, Group.join(welcome=built.welcome, bundle=bundle, ratchet_tree=built.tree), access))
    return devices


def spread(devices: Sequence[Device], sent: Sent, *, but: Sequence[Device] = ()) -> None:
    """Give an entry to everybody."""
    for device in devices:
        if device not in but:
            device.receive(sent)


def agree(devices: Sequence[Device]) -> None:
    """Check that all are in one epoch with one segment."""
    assert len({(each.group.epoch, each.group.epoch_authenticator, each.access) for each in devices}) == 1
    log = segment_id(devices[0].access, devices[0].charter.transport)
    assert all(segment_id(each.access, each.charter.transport) == log for each in devices)


@contextmanager
def cheating() -> Iterator[pytest.MonkeyPatch]:
    """Switch off what the builder of commits refuses to build."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("check_proposals", "check_result"):
            patch.setattr(commit_builder, name, lambda *_args, **_more: None)
        yield patch


@contextmanager
def refused(
    device: Device, rule: str, match: str = "", *, code: str = RuleError.code
) -> Iterator[pytest.ExceptionInfo[TertuliaError]]:
    """Check that a step breaks exactly this rule and that nothing of the device's state moved."""
    group, rows = device.group, dict(device.rows)
    with pytest.raises(RuleError, match=match or None) as raised:
        yield raised
    assert raised.value.code == code
    assert raised.value.rule == rule
    assert device.group is group
    assert device.rows == rows
    assert group.rows() == rows
