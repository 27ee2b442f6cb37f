"""Small circles that somebody joins: coordinators who invite, add and answer, also dishonestly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from tertulia_protocol.circle.attachment import encrypt_bytes
from tertulia_protocol.circle.charter import (
    Charter,
    Coordinator,
    Policy,
    Role,
    group_extensions,
    leaf_capabilities,
)
from tertulia_protocol.circle.identity import build_credential
from tertulia_protocol.circle.invitation import DAY, Card, Invitation, build_invitation
from tertulia_protocol.circle.join_reply import JoinReply, welcome_for
from tertulia_protocol.circle.joining import PendingJoin, build_request
from tertulia_protocol.circle.segments import build_transport, export_access, segment_id
from tertulia_protocol.codec import serialize
from tertulia_protocol.mls.ciphersuite import HYBRID, CipherSuite
from tertulia_protocol.mls.extensions import Extension
from tertulia_protocol.mls.group import Group
from tertulia_protocol.mls.key_package import KeyPackageBundle, build_key_package
from tertulia_protocol.mls.proposals import Add, GroupContextExtensions, Proposal
from tertulia_protocol.relay_api.addresses import RelayAddr
from tertulia_protocol.relay_api.records import Position
from tertulia_protocol.signing import SigningSeed
from tests.support.mls import LIFETIME, NOW, seeded_rng

TODAY = NOW // DAY
LINEAGE = bytes(range(32))
COORD_SECRET = b"\x07" * 32
RELAYS = tuple(
    RelayAddr(relay_pk=SigningSeed(bytes([number]) * 32).public_key, uri=f"https://relay{number}.example")
    for number in (1, 2)
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with one device in the circle."""

    member: SigningSeed
    bundle: KeyPackageBundle


def person(name: str, *, lineage_id: bytes = LINEAGE, suite: CipherSuite = HYBRID) -> Person:
    """Return somebody; the same name has the same keys."""
    rng = seeded_rng(f"person {name}")
    member, leaf_seed = SigningSeed(rng(32)), rng(32)
    credential = build_credential(
        member=member,
        lineage_id=lineage_id,
        device_id=rng(8),
        leaf_signature_key=suite.signature_public_key(leaf_seed),
        not_after=NOW + DAY,
    )
    bundle = build_key_package(
        suite,
        signature_private=leaf_seed,
        credential=credential.credential(),
        capabilities=replace(leaf_capabilities(), cipher_suites=(suite.id,)),
        lifetime=LIFETIME,
        rng=rng,
    )
    return Person(member, bundle)


def make_charter(coordinators: Iterable[Person], **changes: Any) -> Charter:
    """Return the Charter of segment 0 on two relays."""
    charter = Charter(
        lineage_id=LINEAGE,
        generation=0,
        rev=0,
        roster_rev=0,
        policy=Policy(),
        coordinators=tuple(
            Coordinator(rank=rank, member_pk=each.member.public_key) for rank, each in enumerate(coordinators, 1)
        ),
        roster_threshold=1,
        transport=build_transport(
            COORD_SECRET,
            segment_no=0,
            relays=list(zip(RELAYS, (Role.PRIMARY, Role.BACKUP), strict=True)),
            salt=bytes(16),
            coord_gen=0,
        ),
    )
    return replace(charter, **changes)


class JoinWorld:
    """A circle with the coordinator Ada and the member (or second coordinator) Bo, and Cleo who is invited by Ada."""

    def __init__(
        self,
        *,
        both_coordinate: bool = False,
        approvers: Callable[[JoinWorld], list[bytes]] | None = None,
        suite: CipherSuite = HYBRID,
        lineage_id: bytes = LINEAGE,
        known_relays: tuple[RelayAddr, ...] = RELAYS,
        charter: Callable[[Charter], Charter] = lambda charter: charter,
    ) -> None:
        """Found the circle, invite Cleo and let it ask."""
        self.rng = seeded_rng("a circle")
        self.ada, self.bo = person("Ada", suite=suite), person("Bo", suite=suite)
        self.charter = charter(make_charter([self.ada, self.bo] if both_coordinate else [self.ada]))
        founded = Group.create(
            suite=suite,
            group_id=b"g" * 32,
            bundle=self.ada.bundle,
            extensions=self._extensions(self.charter),
            rng=self.rng,
        )
        self.access = export_access(founded, self.charter)
        built = founded.build_commit(proposals=[Add(self.bo.bundle.key_package)], now=NOW, rng=self.rng)
        assert built.welcome is not None
        self.groups = {
            "Ada": founded.merge(built.staged),
            "Bo": Group.join(welcome=built.welcome, bundle=self.bo.bundle, ratchet_tree=built.tree),
        }
        self.invitation, self.card = self.invite(
            approvers=[self.ada.member.public_key] if approvers is None else approvers(self),
            lineage_id=lineage_id,
            relays=known_relays,
        )
        self.cleo = SigningSeed(self.rng(32))
        self.pending = self.ask(self.cleo)

    def _extensions(self, charter: Charter) -> tuple[Extension, ...]:
        return group_extensions(charter)

    def invite(self, **changes: Any) -> tuple[Invitation, Card]:
        """Invite somebody in Ada's name."""
        values: dict[str, Any] = {
            "inviter": self.ada.member,
            "lineage_id": LINEAGE,
            "approvers": [self.ada.member.public_key],
            "relays": RELAYS,
            "expires_day": TODAY + 7,
            "rng": self.rng,
        }
        return build_invitation(**(values | changes))

    def ask(self, member: SigningSeed, **changes: Any) -> PendingJoin:
        """Ask to join by the invitation."""
        values: dict[str, Any] = {
            "link": self.invitation.link,
            "preamble": self.invitation.preamble,
            "member": member,
            "device_id": self.rng(8),
            "intro": "It is me.",
            "now": NOW,
            "rng": self.rng,
        }
        return build_request(**(values | changes))

    def add(
        self, *, by: str = "Ada", charter: Charter | None = None, bundle: KeyPackageBundle | None = None
    ) -> tuple[JoinReply, bytes]:
        """Add whoever asked. Return the answer, unsigned, and the tree. With a new Charter the commit hops."""
        key_package = (bundle or self.pending.bundle).key_package
        proposals: list[Proposal] = [Add(key_package)]
        if charter is not None:
            proposals.append(GroupContextExtensions(self._extensions(charter)))
        built = self.groups[by].build_commit(proposals=proposals, now=NOW, rng=self.rng)
        assert built.welcome is not None
        tree = serialize(built.tree)
        access, position = self.access, Position(5, b"c" * 32)
        if charter is not None:
            access = export_access(built.staged, charter)
            position = Position.start(segment_id(access, charter.transport))
        reply = JoinReply(
            request_hash=self.pending.request.hash(),
            welcome=serialize(welcome_for(built.welcome, key_package)),
            tree=encrypt_bytes(self.rng(32), tree)[0],
            access=access,
            segment_no=access.segment_no,
            position=position,
        )
        return reply, tree

    def next_segment(self, **changes: Any) -> Charter:
        """Return the Charter after a hop."""
        transport = build_transport(
            COORD_SECRET,
            segment_no=1,
            relays=list(zip(RELAYS, (Role.PRIMARY, Role.BACKUP), strict=True)),
            salt=b"s" * 16,
            coord_gen=0,
        )
        return replace(self.charter, rev=1, transport=transport, **changes)
