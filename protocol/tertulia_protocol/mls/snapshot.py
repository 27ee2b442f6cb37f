"""A group as rows for a store, sorted by how often they change: sending a message puts one small row.

===========================  ==================================================================  ================
row                          content                                                             changes
===========================  ==================================================================  ================
``version``                  the version of this layout, uint16                                  never
``member``                   settings, suite, our leaf and our signature key                     hardly ever
``epoch``                    GroupContext, transcript, secrets of the epoch, width of the tree   with an epoch
``tree/<node>``              a node that is not blank                                            along a path
``priv/<node>``              our HPKE private key of a node                                      along our path
``secret/<node>``            a secret of the secret tree that was not split yet                  first message
``ratchet/<leaf>/<kind>``    one ratchet                                                         with a message
``proposal/<ref>``           a proposal of this epoch                                            with a proposal
``pending/<hash>``           a commit of ours that may still win                                 with a commit
``past/<epoch>``             what is kept of an epoch that is over                               with an epoch
``past/<epoch>/...``         its ratchet tree (``tree``) and its secret tree                     with a message
===========================  ==================================================================  ================

A secret that was used up stands in no row: ``changed_rows`` names every row to delete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tertulia_protocol.codec import Reader, Struct, Writer, parse, serialize
from tertulia_protocol.errors import DecodeError, UnsupportedError
from tertulia_protocol.mls.ciphersuite import CipherSuite, get_suite
from tertulia_protocol.mls.group_context import GroupContext
from tertulia_protocol.mls.group_state import (
    GroupSettings,
    GroupState,
    PastEpoch,
    PendingCommit,
    S,
    StoredProposal,
)
from tertulia_protocol.mls.key_schedule import EpochSecrets
from tertulia_protocol.mls.ratchet_tree import RatchetTree
from tertulia_protocol.mls.secret_tree import SecretTree
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, node_width
from tertulia_protocol.mls.tree_nodes import Node, decode_node, encode_optional_node

VERSION = 1

Rows = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _MemberRow:
    settings: GroupSettings
    suite_id: int
    own_index: LeafIndex
    signature_private: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> _MemberRow:
        return cls(
            settings=GroupSettings(max_past_epochs=reader.u32(), max_forward=reader.u32(), max_skipped=reader.u32()),
            suite_id=reader.u16(),
            own_index=LeafIndex(reader.u32()),
            signature_private=reader.opaque(),
        )

    def encode(self, writer: Writer) -> None:
        writer.u32(self.settings.max_past_epochs)
        writer.u32(self.settings.max_forward)
        writer.u32(self.settings.max_skipped)
        writer.u16(self.suite_id)
        writer.u32(self.own_index)
        writer.opaque(self.signature_private)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EpochRow:
    context: GroupContext
    interim_transcript_hash: bytes
    confirmation_tag: bytes = field(repr=False)
    secrets: EpochSecrets
    n_leaves: int

    @classmethod
    def decode(cls, reader: Reader) -> _EpochRow:
        return cls(
            context=GroupContext.decode(reader),
            interim_transcript_hash=reader.opaque(),
            confirmation_tag=reader.opaque(),
            secrets=EpochSecrets.decode(reader),
            n_leaves=reader.u32(),
        )

    def encode(self, writer: Writer) -> None:
        self.context.encode(writer)
        writer.opaque(self.interim_transcript_hash)
        writer.opaque(self.confirmation_tag)
        self.secrets.encode(writer)
        writer.u32(self.n_leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PastRow:
    context: GroupContext
    sender_data_secret: bytes = field(repr=False)
    resumption_psk: bytes = field(repr=False)

    @classmethod
    def decode(cls, reader: Reader) -> _PastRow:
        return cls(
            context=GroupContext.decode(reader), sender_data_secret=reader.opaque(), resumption_psk=reader.opaque()
        )

    def encode(self, writer: Writer) -> None:
        self.context.encode(writer)
        writer.opaque(self.sender_data_secret)
        writer.opaque(self.resumption_psk)


# --- Writing -------------------------------------------------------------------------------------------------------


def rows(group: GroupState) -> Rows:
    """Return all rows of a group."""
    found: Rows = {
        "version": VERSION.to_bytes(2, "big"),
        "member": _member_row(group),
        "epoch": _epoch_row(group),
        **{f"tree/{index}": _node_row(node) for index, node in group.tree.nodes()},
        **{f"priv/{index}": key for index, key in group.private_keys.items()},
        **{_proposal(ref): serialize(stored) for ref, stored in group.proposals.items()},
        **{_pending(digest): serialize(pending) for digest, pending in group.pending.items()},
        **group.secret_tree.rows(),
    }
    for past in group.past:
        found |= _past_rows(past)
    return found


def changed_rows(old: GroupState | None, new: GroupState) -> tuple[Rows, set[str]]:
    """Return the rows to put and the names of those to delete to get from ``old`` to ``new``.

    What both share is recognised by identity, so the cost is that of the change. No row is in both answers.
    """
    if old is None:
        return rows(new), set()
    puts, deletes = new.secret_tree.changed_rows(old.secret_tree)
    changes = _Changes(dict(puts), set(deletes))
    if (old.settings, old.own_index, old.signature_private) != (new.settings, new.own_index, new.signature_private):
        changes.puts["member"] = _member_row(new)
    if old.context is not new.context or old.secrets is not new.secrets:
        changes.puts["epoch"] = _epoch_row(new)
    if old.tree is not new.tree:
        for index, node in new.tree.changed_nodes(old.tree):
            changes.set(f"tree/{index}", None if node is None else _node_row(node))
    _compare_keys(old.private_keys, new.private_keys, changes)
    if old.proposals is not new.proposals or old.pending is not new.pending:
        _compare_structs(_by_name(old), _by_name(new), changes)
    _compare_past(old.past, new.past, changes)
    return changes.puts, changes.deletes


@dataclass(slots=True)
class _Changes:
    """Rows to put and to delete, as they are collected."""

    puts: Rows
    deletes: set[str]

    def set(self, name: str, row: bytes | None) -> None:
        if row is None:
            self.deletes.add(name)
        else:
            self.puts[name] = row


def _compare_keys(old: Mapping[NodeIndex, bytes], new: Mapping[NodeIndex, bytes], changes: _Changes) -> None:
    if old is not new:
        for index in old.keys() | new.keys():
            if old.get(index) != new.get(index):
                changes.set(f"priv/{index}", new.get(index))


def _by_name(group: GroupState) -> dict[str, Struct]:
    found: dict[str, Struct] = {_proposal(ref): stored for ref, stored in group.proposals.items()}
    found.update((_pending(digest), pending) for digest, pending in group.pending.items())
    return found


def _compare_structs(old: Mapping[str, Struct], new: Mapping[str, Struct], changes: _Changes) -> None:
    changes.deletes.update(old.keys() - new.keys())
    changes.puts.update((name, serialize(value)) for name, value in new.items() if old.get(name) is not value)


def _compare_past(old: tuple[PastEpoch, ...], new: tuple[PastEpoch, ...], changes: _Changes) -> None:
    if old is new:
        return
    before = {past.context.epoch: past for past in old}
    after = {past.context.epoch: past for past in new}
    for epoch in before.keys() - after.keys():
        changes.deletes.update(_past_rows(before[epoch]))
    for epoch, past in after.items():
        if epoch not in before:
            changes.puts.update(_past_rows(past))
        elif past is not before[epoch]:
            puts, deletes = past.secret_tree.changed_rows(before[epoch].secret_tree)
            changes.puts.update((_past(epoch, name), row) for name, row in puts.items())
            changes.deletes.update(_past(epoch, name) for name in deletes)


def _member_row(group: GroupState) -> bytes:
    return serialize(
        _MemberRow(
            settings=group.settings,
            suite_id=group.suite.id,
            own_index=group.own_index,
            signature_private=group.signature_private,
        )
    )


def _epoch_row(group: GroupState) -> bytes:
    return serialize(
        _EpochRow(
            context=group.context,
            interim_transcript_hash=group.interim_transcript_hash,
            confirmation_tag=group.confirmation_tag,
            secrets=group.secrets,
            n_leaves=group.tree.size,
        )
    )


def _node_row(node: Node) -> bytes:
    writer = Writer()
    encode_optional_node(writer, node)
    return writer.getvalue()


def _past_rows(past: PastEpoch) -> Rows:
    epoch = past.context.epoch
    row = _PastRow(context=past.context, sender_data_secret=past.sender_data_secret, resumption_psk=past.resumption_psk)
    return {
        f"past/{epoch}": serialize(row),
        _past(epoch, "tree"): serialize(past.tree),
        **{_past(epoch, name): value for name, value in past.secret_tree.rows().items()},
    }


def _proposal(ref: bytes) -> str:
    return f"proposal/{ref.hex()}"


def _pending(digest: bytes) -> str:
    return f"pending/{digest.hex()}"


def _past(epoch: int, name: str) -> str:
    return f"past/{epoch}/{name}"


# --- Reading -------------------------------------------------------------------------------------------------------


def load(kind: type[S], stored: Mapping[str, bytes]) -> S:
    """Read a group from its rows. :raises DecodeError: rows are missing or damaged.

    :raises UnsupportedError: a newer version wrote them.
    """
    check_version(stored)
    member, epoch = parse(_MemberRow, _row(stored, "member")), parse(_EpochRow, _row(stored, "epoch"))
    suite = get_suite(member.suite_id)
    tree = _load_tree(stored, epoch.n_leaves)
    proposals = [parse(StoredProposal, row) for row in _under(stored, "proposal/").values()]
    pending = [parse(PendingCommit, row) for row in _under(stored, "pending/").values()]
    return kind(
        settings=member.settings,
        suite=suite,
        own_index=member.own_index,
        signature_private=member.signature_private,
        context=epoch.context,
        tree=tree,
        interim_transcript_hash=epoch.interim_transcript_hash,
        confirmation_tag=epoch.confirmation_tag,
        secrets=epoch.secrets,
        secret_tree=SecretTree.load(stored, suite=suite, n_leaves=tree.size, own_leaf=member.own_index),
        private_keys={NodeIndex(_number(name)): key for name, key in _under(stored, "priv/").items()},
        proposals={one.ref: one for one in proposals},
        pending={one.message_hash: one for one in pending},
        past=_load_past(stored, suite, member.own_index),
    )


def check_version(stored: Mapping[str, bytes]) -> None:
    """Check that we know this layout. :raises UnsupportedError: a newer version wrote it. :raises DecodeError: none."""
    version = int.from_bytes(_row(stored, "version"), "big")
    if version != VERSION:
        raise UnsupportedError(f"a group stored in layout {version}")


def _load_tree(stored: Mapping[str, bytes], n_leaves: int) -> RatchetTree:
    nodes: list[Node | None] = [None] * node_width(n_leaves)
    for name, row in _under(stored, "tree/").items():
        index = _number(name)
        if index >= len(nodes):
            raise DecodeError(f"node {index} stands outside of the stored tree")
        reader = Reader(row)
        nodes[index] = reader.optional(decode_node)
        reader.expect_end()
    return RatchetTree(nodes)


def _load_past(stored: Mapping[str, bytes], suite: CipherSuite, own_index: LeafIndex) -> tuple[PastEpoch, ...]:
    under = _under(stored, "past/")
    epochs = sorted({_number(name.partition("/")[0]) for name in under}, reverse=True)
    return tuple(_load_one_past(under, epoch, suite, own_index) for epoch in epochs)


def _load_one_past(under: Mapping[str, bytes], epoch: int, suite: CipherSuite, own_index: LeafIndex) -> PastEpoch:
    row, inside = parse(_PastRow, _row(under, str(epoch))), _under(under, f"{epoch}/")
    tree = parse(RatchetTree, _row(inside, "tree"))
    return PastEpoch(
        context=row.context,
        tree=tree,
        sender_data_secret=row.sender_data_secret,
        resumption_psk=row.resumption_psk,
        secret_tree=SecretTree.load(inside, suite=suite, n_leaves=tree.size, own_leaf=own_index),
    )


def _row(stored: Mapping[str, bytes], name: str) -> bytes:
    try:
        return stored[name]
    except KeyError as error:
        raise DecodeError(f"the stored row {name!r} is missing") from error


def _under(stored: Mapping[str, bytes], prefix: str) -> Rows:
    """Return the rows whose names begin with ``prefix``, without it."""
    return {name[len(prefix) :]: row for name, row in stored.items() if name.startswith(prefix)}


def _number(name: str) -> int:
    if not name.isdecimal():
        raise DecodeError(f"{name!r} in the name of a stored row is not a number")
    return int(name)
