"""TreeKEM: new keys along a path for everybody who should have them (RFC 9420 sections 7.4 to 7.6, 12.4.1, 12.4.2).

Private keys are held as a mapping from node index to 32 bytes. A member has the key of its own leaf and of every inner
node above it that is not blank and does not list it as unmerged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

from tertulia_protocol.errors import RuleError
from tertulia_protocol.mls.ciphersuite import CipherSuite
from tertulia_protocol.mls.commit import UpdatePath, UpdatePathNode
from tertulia_protocol.mls.hpke import HpkeKeyPair
from tertulia_protocol.mls.labeled import HPKECiphertext, decrypt_with_label, derive_secret, encrypt_with_label
from tertulia_protocol.mls.leaf_node import LeafNode
from tertulia_protocol.mls.ratchet_tree import ParentNode, PathStep, RatchetTree
from tertulia_protocol.mls.tree_hash import parent_hash
from tertulia_protocol.mls.tree_math import LeafIndex, NodeIndex, direct_path, leaf_to_node, leaves_below
from tertulia_protocol.mls.tree_validation import check_unique_signature_keys

PrivateKeys: TypeAlias = dict[NodeIndex, bytes]

_LABEL = b"UpdatePathNode"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSecrets:
    """The secrets of a path from some node up to the root (RFC 9420 section 7.4), by node index."""

    path_secrets: dict[NodeIndex, bytes] = field(repr=False)
    key_pairs: dict[NodeIndex, HpkeKeyPair] = field(repr=False)
    commit_secret: bytes = field(repr=False)

    def private_keys(self) -> PrivateKeys:
        """Return the private keys alone."""
        return {index: pair.private for index, pair in self.key_pairs.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedPath:
    """A path of our own: what is sent, and what we keep when the commit counts."""

    update_path: UpdatePath
    tree: RatchetTree
    path_secrets: dict[NodeIndex, bytes] = field(repr=False)
    first_path_secret: bytes = field(repr=False)
    """What :func:`own_path` needs to derive everything again."""
    leaf_private: bytes = field(repr=False)
    private_keys: PrivateKeys = field(repr=False)
    """All that we hold from then on, our leaf's among them."""
    commit_secret: bytes = field(repr=False)

    def path_secret_for(self, sender: LeafIndex, joiner: LeafIndex) -> bytes:
        """Return the secret that a Welcome carries for ``joiner``: the one of the lowest node above both leaves."""
        joined = direct_path(leaf_to_node(joiner), self.tree.size)
        shared = next(index for index in direct_path(leaf_to_node(sender), self.tree.size) if index in joined)
        return self.path_secrets[shared]


def derive_path(suite: CipherSuite, nodes: Iterable[NodeIndex], path_secret: bytes) -> PathSecrets:
    """Derive the secrets of ``nodes``, from below to the root (RFC 9420 section 7.4).

    :param path_secret: that of the first node, Nh bytes; without nodes it is the commit secret.
    """
    secrets: dict[NodeIndex, bytes] = {}
    pairs: dict[NodeIndex, HpkeKeyPair] = {}
    for index in nodes:
        secrets[index] = path_secret
        pairs[index] = suite.derive_key_pair(derive_secret(suite, path_secret, b"node"))
        path_secret = derive_secret(suite, path_secret, b"path")
    return PathSecrets(path_secrets=secrets, key_pairs=pairs, commit_secret=path_secret)


def create_path(  # noqa: PLR0913 - a commit's path depends on all of them
    suite: CipherSuite,
    tree: RatchetTree,
    sender: LeafIndex,
    *,
    new_leaf: Callable[[bytes, bytes], LeafNode],
    context: Callable[[RatchetTree], bytes],
    exclude: AbstractSet[LeafIndex],
    rng: Callable[[int], bytes],
    path_secret: bytes | None = None,
    leaf_key: HpkeKeyPair | None = None,
) -> CreatedPath:
    """Make the path of our own commit (RFC 9420 sections 7.5 and 12.4.1).

    :param tree: the tree after the commit's proposals.
    :param new_leaf: makes our signed leaf from its encryption key and its parent hash.
    :param context: makes the provisional GroupContext, encoded, from the tree with the path in it.
    :param exclude: the leaves that this commit adds; their secrets travel in the Welcome.
    :param path_secret: Nh bytes, fresh without it. :param leaf_key: fresh without it.
    """
    steps = tree.path_steps(sender)
    leaf_key = suite.generate_key_pair(rng) if leaf_key is None else leaf_key
    first = rng(suite.Nh) if path_secret is None else path_secret
    secrets = derive_path(suite, [step.node for step in steps], first)
    public_keys = [secrets.key_pairs[step.node].public for step in steps]
    path, leaf_hash = link_path(suite, tree, steps, public_keys)
    leaf = new_leaf(leaf_key.public, leaf_hash)
    after = tree.apply_path(sender, leaf, path)
    encoded_context = context(after)
    nodes = []
    for step, key in zip(steps, public_keys, strict=True):
        reached = (_public_key(tree, index) for index in recipients(tree, step, exclude))
        ciphertexts = _encrypt(suite, reached, encoded_context, secrets.path_secrets[step.node])
        nodes.append(UpdatePathNode(encryption_key=key, encrypted_path_secret=ciphertexts))
    return CreatedPath(
        update_path=UpdatePath(leaf_node=leaf, nodes=tuple(nodes)),
        tree=after,
        path_secrets=secrets.path_secrets,
        first_path_secret=first,
        leaf_private=leaf_key.private,
        private_keys={leaf_to_node(sender): leaf_key.private, **secrets.private_keys()},
        commit_secret=secrets.commit_secret,
    )


def merge_path(
    suite: CipherSuite,
    tree: RatchetTree,
    sender: LeafIndex,
    update_path: UpdatePath,
    *,
    exclude: AbstractSet[LeafIndex],
) -> RatchetTree:
    """Check the public part of a path and return the tree with it (RFC 9420 sections 7.5 and 12.4.2).

    The leaf itself and its signature are left to the caller (``leaf_node.check_leaf``, ``verify_leaf_signature``).

    :param tree: the tree after the commit's proposals. :param exclude: the leaves that this commit adds.
    :raises RuleError: a rule is broken. :raises DecodeError: a key is not one of the suite.
    """
    steps = tree.path_steps(sender)
    leaf = update_path.leaf_node
    check_path_length(update_path, len(steps))
    for step, node in zip(steps, update_path.nodes, strict=False):
        check_path_key(suite, node)
        check_ciphertext_count(node, len(recipients(tree, step, exclude)))
    check_leaf_key_changed(tree.leaf(sender), leaf)
    check_path_keys_unused(tree, update_path)
    check_path_keys_distinct(update_path)
    path, leaf_hash = link_path(suite, tree, steps, [node.encryption_key for node in update_path.nodes])
    check_path_parent_hash(leaf, leaf_hash)
    after = tree.apply_path(sender, leaf, path)
    check_unique_signature_keys(after)
    return after


def decrypt_path(  # noqa: PLR0913 - a commit's path depends on all of them
    suite: CipherSuite,
    tree: RatchetTree,
    *,
    sender: LeafIndex,
    me: LeafIndex,
    update_path: UpdatePath,
    private_keys: Mapping[NodeIndex, bytes],
    context: bytes,
    exclude: AbstractSet[LeafIndex],
) -> tuple[bytes, PrivateKeys]:
    """Read our path secret from somebody's commit; return the commit secret and the private keys from then on.

    :param tree: the tree after the commit's proposals, with or without the path.
    :param context: the provisional GroupContext, encoded.
    :param private_keys: ours after the commit's proposals, our leaf's among them.
    :param exclude: the leaves that this commit adds.
    :raises RuleError: the path does not have its form, or its secret does not give its public keys.
    :raises AuthenticityError: our path secret cannot be decrypted. :raises DecodeError: it is malformed.
    """
    steps = tree.path_steps(sender)
    check_path_length(update_path, len(steps))
    first = _find_step(steps, me)
    reached = recipients(tree, steps[first], exclude)
    node = update_path.nodes[first]
    check_ciphertext_count(node, len(reached))
    place = _find_held(reached, private_keys)
    ciphertext = node.encrypted_path_secret[place]
    path_secret = decrypt_with_label(suite, private_keys[reached[place]], _LABEL, context, ciphertext)
    secrets = derive_path(suite, [step.node for step in steps[first:]], path_secret)
    check_path_secret(secrets, [node.encryption_key for node in update_path.nodes[first:]])
    kept = prune_private_keys(tree, private_keys)
    for index in direct_path(leaf_to_node(sender), tree.size):
        kept.pop(index, None)
    return secrets.commit_secret, {**kept, **secrets.private_keys()}


def own_path(suite: CipherSuite, tree: RatchetTree, sender: LeafIndex, path_secret: bytes) -> tuple[bytes, PrivateKeys]:
    """Derive the commit secret and the private keys of the inner nodes again from our own pending path.

    Nothing is compared here: the secret is from our own store, and the confirmation tag shows if it does not fit.

    :param tree: the tree after the commit's proposals, with or without the path.
    :param path_secret: the one that :func:`create_path` started from.
    """
    secrets = derive_path(suite, tree.filtered_direct_path(sender), path_secret)
    return secrets.commit_secret, secrets.private_keys()


def join_path(  # noqa: PLR0913 - keyword-only
    suite: CipherSuite,
    tree: RatchetTree,
    *,
    me: LeafIndex,
    sender: LeafIndex,
    path_secret: bytes | None,
    leaf_private: bytes,
) -> PrivateKeys:
    """Return all our private keys when we join (RFC 9420 section 12.4.3.1).

    :param path_secret: of the lowest node above our leaf and the committer's; None if the commit had no path.
    :param leaf_private: the private key of our leaf, 32 bytes.
    :raises RuleError: the secret does not give the tree's public keys, or a key is missing that we ought to have.
    """
    keys = {leaf_to_node(me): leaf_private}
    if path_secret is not None:
        steps = tree.path_steps(sender)
        nodes = [step.node for step in steps[_find_step(steps, me) :]]
        secrets = derive_path(suite, nodes, path_secret)
        check_path_secret(secrets, [_public_key(tree, index) for index in nodes])
        keys |= secrets.private_keys()
    for index in direct_path(leaf_to_node(me), tree.size):
        check_key_held(tree.parent_node(index), me, is_held=index in keys)
    return keys


def prune_private_keys(tree: RatchetTree, private_keys: Mapping[NodeIndex, bytes]) -> PrivateKeys:
    """Return the private keys without those of nodes that a commit's proposals made blank."""
    inside = range(2 * tree.size - 1)
    return {index: key for index, key in private_keys.items() if index in inside and tree.node(index) is not None}


def link_path(
    suite: CipherSuite, tree: RatchetTree, steps: Sequence[PathStep], public_keys: Sequence[bytes]
) -> tuple[dict[NodeIndex, ParentNode], bytes]:
    """Return the nodes of a path with their parent hashes, and the leaf's parent hash (RFC 9420 section 7.9.1).

    :param public_keys: one for each step.
    """
    path: dict[NodeIndex, ParentNode] = {}
    carried = b""
    for step, key in zip(reversed(steps), reversed(public_keys), strict=False):
        node = ParentNode(encryption_key=key, parent_hash=carried)
        path[step.node] = node
        carried = parent_hash(suite, tree, node, step.copath)
    return path, carried


def recipients(tree: RatchetTree, step: PathStep, exclude: AbstractSet[LeafIndex]) -> tuple[NodeIndex, ...]:
    """Return the nodes to which the path secret of ``step`` is encrypted, in order (RFC 9420 section 7.6)."""
    found = tree.resolution(step.copath)
    if not exclude:
        return found
    left_out = {leaf_to_node(leaf) for leaf in exclude}
    return tuple(index for index in found if index not in left_out)


def check_path_length(update_path: UpdatePath, expected: int) -> None:
    """Check that a path has one node per node of the filtered direct path. :raises RuleError: it has not."""
    if len(update_path.nodes) != expected:
        raise RuleError(f"a path has {len(update_path.nodes)} nodes instead of {expected}", rule="RFC9420-7.5")


def check_path_key(suite: CipherSuite, node: UpdatePathNode) -> None:
    """Check that a key of a path is one of the suite. :raises DecodeError: it is not."""
    suite.check_hpke_public_key(node.encryption_key)


def check_ciphertext_count(node: UpdatePathNode, expected: int) -> None:
    """Check that a path's node has one ciphertext per recipient (RFC 9420 section 7.6). :raises RuleError: no."""
    if len(node.encrypted_path_secret) != expected:
        found = len(node.encrypted_path_secret)
        raise RuleError(f"a node of a path has {found} ciphertexts instead of {expected}", rule="RFC9420-7.6")


def check_leaf_key_changed(before: LeafNode | None, after: LeafNode) -> None:
    """Check that a path brings a new leaf key (RFC 9420 section 12.4.2). :raises RuleError: the key is the old one."""
    if before is not None and before.encryption_key == after.encryption_key:
        raise RuleError("a path keeps its leaf's encryption key", rule="RFC9420-12.4.2")


def check_path_keys_unused(tree: RatchetTree, update_path: UpdatePath) -> None:
    """Check that no key of a path stands in the tree already (RFC 9420 section 12.4.2). :raises RuleError: one does."""
    keys = (update_path.leaf_node.encryption_key, *(node.encryption_key for node in update_path.nodes))
    if any(map(tree.has_encryption_key, keys)):
        raise RuleError("a key of a path is in the tree already", rule="RFC9420-12.4.2-unused")


def check_path_keys_distinct(update_path: UpdatePath) -> None:
    """Check that no key occurs twice in a path (RFC 9420 section 12.4.2). :raises RuleError: one does."""
    keys = (update_path.leaf_node.encryption_key, *(node.encryption_key for node in update_path.nodes))
    if len(set(keys)) != len(keys):
        raise RuleError("a path has the same key twice", rule="RFC9420-12.4.2-distinct")


def check_path_parent_hash(leaf: LeafNode, expected: bytes) -> None:
    """Check that a path's leaf carries its parent hash (RFC 9420 section 7.9.2). :raises RuleError: another or none."""
    if leaf.parent_hash != expected:
        raise RuleError("the leaf of a path has a wrong parent hash", rule="RFC9420-7.9.2")


def check_path_secret(secrets: PathSecrets, public_keys: Sequence[bytes]) -> None:
    """Check that a path secret gives the public keys of the path (RFC 9420 section 7.5). :raises RuleError: no.

    :param public_keys: one for each node of ``secrets``, from below to the root.
    """
    if [pair.public for pair in secrets.key_pairs.values()] != list(public_keys):
        raise RuleError("a path secret does not give the public keys of its path", rule="RFC9420-7.5")


def check_key_held(node: ParentNode | None, me: LeafIndex, *, is_held: bool) -> None:
    """Check that a joiner got the key of a node above it, or is unmerged there. :raises RuleError: neither.

    The RFC does not ask for it. Without it a member could invite somebody who then fails at another's commit.
    """
    if node is not None and not is_held and me not in node.unmerged_leaves:
        raise RuleError("a joiner lacks the key of a node above it", rule="RFC9420-12.4.3.1")


def _encrypt(
    suite: CipherSuite, public_keys: Iterable[bytes], context: bytes, path_secret: bytes
) -> tuple[HPKECiphertext, ...]:
    return tuple(encrypt_with_label(suite, key, _LABEL, context, path_secret) for key in public_keys)


def _public_key(tree: RatchetTree, index: NodeIndex) -> bytes:
    node = tree.node(index)
    if node is None:
        raise RuleError(f"node {index} is blank", rule="RFC9420-7.5")
    return node.encryption_key


def _find_step(steps: Sequence[PathStep], me: LeafIndex) -> int:
    for place, step in enumerate(steps):
        if me in leaves_below(step.copath):
            return place
    raise RuleError(f"leaf {me} is not beside this path", rule="RFC9420-7.5")


def _find_held(reached: Sequence[NodeIndex], private_keys: Mapping[NodeIndex, bytes]) -> int:
    for place, index in enumerate(reached):
        if index in private_keys:
            return place
    raise RuleError("a path has nothing that we can decrypt", rule="RFC9420-7.5")
