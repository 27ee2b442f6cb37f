"""Version 1 of the tables. Circles are named by their ``lineage_id`` (32 bytes) in every table."""

from __future__ import annotations

from tertulia.store.tx import Tx

TABLES = """
-- The profile
CREATE TABLE meta (
    name TEXT PRIMARY KEY, value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, circle BLOB NOT NULL, at INTEGER NOT NULL,
    data TEXT NOT NULL
);

-- Circles. state: states.py. detail: evidence or reason of the state. enrolment: an Enrolment, where this device
-- founded the circle or was given one. segment_no: the current one. lamport: the greatest read or made. own_seq and
-- own_last: the author chain of this device, as far as payloads were made.
CREATE TABLE circle (
    id BLOB PRIMARY KEY, group_id BLOB NOT NULL, state TEXT NOT NULL, detail BLOB NOT NULL, alias TEXT NOT NULL,
    name TEXT NOT NULL, device_id BLOB NOT NULL, segment_no INTEGER NOT NULL, enrolment BLOB,
    coord_gen INTEGER NOT NULL, joined_at INTEGER NOT NULL, synced_at INTEGER NOT NULL, lamport INTEGER NOT NULL,
    own_seq INTEGER NOT NULL, own_last BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE mls_row (
    circle BLOB, name TEXT, value BLOB NOT NULL, PRIMARY KEY (circle, name)
) WITHOUT ROWID;

-- What a coordinator's device knows: the secret of a generation, and what derives the lobby of a past segment (E7).
CREATE TABLE coord_key (
    circle BLOB, coord_gen INTEGER, secret BLOB NOT NULL, PRIMARY KEY (circle, coord_gen)
) WITHOUT ROWID;
CREATE TABLE coord_segment (
    circle BLOB, segment_no INTEGER, coord_gen INTEGER NOT NULL, salt BLOB NOT NULL, relays BLOB NOT NULL,
    until INTEGER NOT NULL, PRIMARY KEY (circle, segment_no)
) WITHOUT ROWID;

-- Logs. access: a SegAccess, which names all relays; one row of segment for each relay (its place in the Charter).
CREATE TABLE segment_access (
    circle BLOB, segment_no INTEGER, access BLOB NOT NULL, PRIMARY KEY (circle, segment_no)
) WITHOUT ROWID;
CREATE TABLE segment (
    circle BLOB, segment_no INTEGER, relay INTEGER, relay_pk BLOB NOT NULL, uri TEXT NOT NULL,
    segment_id BLOB NOT NULL, start_seq INTEGER NOT NULL, seq INTEGER NOT NULL, chain BLOB NOT NULL, head BLOB,
    PRIMARY KEY (circle, segment_no, relay)
) WITHOUT ROWID;
CREATE TABLE chain (
    circle BLOB, segment_no INTEGER, relay INTEGER, seq INTEGER, chain BLOB NOT NULL,
    PRIMARY KEY (circle, segment_no, relay, seq)
) WITHOUT ROWID;

-- data: the inner entry where is_inner, else the entry as it was read (it could not be unwrapped).
CREATE TABLE raw_entry (
    circle BLOB, segment_no INTEGER, seq INTEGER, is_inner INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (circle, segment_no, seq)
) WITHOUT ROWID;

-- SHA-256(inner) of everything this device made (E24). kind: payload, commit, proposal. ref: its row's key.
CREATE TABLE own_entry (
    circle BLOB, inner_hash BLOB, kind TEXT NOT NULL, ref BLOB NOT NULL, segment_no INTEGER NOT NULL,
    PRIMARY KEY (circle, inner_hash)
) WITHOUT ROWID;

-- Authors (E18): one row for each device of a member whose payloads were read.
CREATE TABLE author (
    circle BLOB, member_pk BLOB, device_id BLOB, author_seq INTEGER NOT NULL, last BLOB NOT NULL,
    lamport INTEGER NOT NULL, gaps INTEGER NOT NULL, PRIMARY KEY (circle, member_pk, device_id)
) WITHOUT ROWID;

-- Content. change: every payload that says something about an object, whole (body = the envelope); seq 0: one of this
-- device that was not read back yet.
CREATE TABLE change (
    circle BLOB, member_pk BLOB, post_id BLOB, object_type TEXT NOT NULL, object_id BLOB NOT NULL,
    lamport INTEGER NOT NULL, minute INTEGER NOT NULL, type INTEGER NOT NULL, body BLOB NOT NULL,
    segment_no INTEGER NOT NULL, seq INTEGER NOT NULL, by_coordinator INTEGER NOT NULL, forwarded_by BLOB,
    device_id BLOB NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (circle, member_pk, post_id)
) WITHOUT ROWID;
CREATE INDEX change_object ON change (circle, object_id);
CREATE INDEX change_place ON change (circle, segment_no, seq);

-- object: what the changes amount to, made again at any time from them. parent: board of a topic, topic of a reply.
CREATE TABLE object (
    circle BLOB, id BLOB, type TEXT NOT NULL, parent BLOB NOT NULL, author BLOB NOT NULL, lamport INTEGER NOT NULL,
    minute INTEGER NOT NULL, retracted INTEGER NOT NULL, unread INTEGER NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (circle, id)
) WITHOUT ROWID;
CREATE INDEX object_parent ON object (circle, type, parent, lamport);
CREATE INDEX object_child ON object (circle, parent);

-- Payloads of reserved types, kept as they came.
CREATE TABLE kept_payload (
    circle BLOB, member_pk BLOB, post_id BLOB, type INTEGER NOT NULL, device_id BLOB NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (circle, member_pk, post_id)
) WITHOUT ROWID;

-- What leaves. state: uploading (payload: its body alone), waiting, sent (appended as seq, not yet read back). inner:
-- of epoch inner_epoch.
CREATE TABLE outbox (
    circle BLOB, number INTEGER, post_id BLOB NOT NULL, state TEXT NOT NULL, type INTEGER NOT NULL,
    payload BLOB NOT NULL, share INTEGER NOT NULL, inner BLOB, inner_epoch INTEGER, segment_no INTEGER, seq INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (circle, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX outbox_post ON outbox (circle, post_id);
CREATE INDEX outbox_state ON outbox (circle, state, number);

-- Commits of ours. state: pending (may still win), done (effective; kept while somebody needs what belongs to it).
-- after: opaque, for whoever planned it. coord_secret: of a new generation (E7). transport, access, heir_vk: of a hop.
-- done_*: where it led to, for joiners.
CREATE TABLE pending_commit (
    circle BLOB, inner_hash BLOB, number INTEGER NOT NULL, epoch INTEGER NOT NULL, segment_no INTEGER NOT NULL,
    state TEXT NOT NULL, inner BLOB NOT NULL, hop INTEGER NOT NULL, transport BLOB, access BLOB, heir_vk BLOB,
    coord_gen INTEGER, coord_secret BLOB, welcome BLOB, tree BLOB, after BLOB NOT NULL, created_at INTEGER NOT NULL,
    done_epoch INTEGER, done_segment INTEGER, done_seq INTEGER, done_chain BLOB, PRIMARY KEY (circle, inner_hash)
) WITHOUT ROWID;

-- What shows that a relay or a member did what nobody may: signed heads, refused commits. kind: fork, rollback, ...
CREATE TABLE evidence (
    number INTEGER PRIMARY KEY AUTOINCREMENT, circle BLOB NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX evidence_circle ON evidence (circle);

-- Invitations of this device. secrets: what the link and the box were made from. state: open, used, withdrawn, ...
CREATE TABLE invitation (
    anchor BLOB PRIMARY KEY, circle BLOB NOT NULL, state TEXT NOT NULL, language TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, secrets BLOB NOT NULL, preamble BLOB NOT NULL,
    relay BLOB NOT NULL, box_id BLOB NOT NULL, box_seq INTEGER NOT NULL, box_chain BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX invitation_circle ON invitation (circle);
CREATE TABLE join_request (
    hash BLOB PRIMARY KEY, anchor BLOB NOT NULL, circle BLOB NOT NULL, state TEXT NOT NULL, request BLOB NOT NULL,
    name TEXT NOT NULL, sas BLOB NOT NULL, received_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX join_request_circle ON join_request (circle);

-- Answers to send after read-back, again until the joiner's hello is seen (E13). letter: fixed once complete.
CREATE TABLE reply (
    request_hash BLOB PRIMARY KEY, circle BLOB NOT NULL, state TEXT NOT NULL, member_pk BLOB NOT NULL,
    data BLOB NOT NULL, letter BLOB, sent_at INTEGER NOT NULL, until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reply_circle ON reply (circle);

-- Joining, before there is a circle. secrets: seeds, init key, request; deleted when the reply is accepted.
CREATE TABLE joining (
    anchor BLOB PRIMARY KEY, circle BLOB NOT NULL, state TEXT NOT NULL, name TEXT NOT NULL, link BLOB NOT NULL,
    preamble BLOB NOT NULL, request BLOB NOT NULL, request_hash BLOB NOT NULL, secrets BLOB NOT NULL,
    sas BLOB NOT NULL, box_id BLOB NOT NULL, box_seq INTEGER NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Files on their way. direction: up, down. state: open, done, failed. ref: a BlobRef as it becomes known.
CREATE TABLE transfer (
    id BLOB PRIMARY KEY, circle BLOB NOT NULL, direction TEXT NOT NULL, state TEXT NOT NULL, post_id BLOB NOT NULL,
    path TEXT NOT NULL, name TEXT NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL, sha256 BLOB NOT NULL,
    chunk_class INTEGER NOT NULL, chunks INTEGER NOT NULL, ref BLOB, created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX transfer_circle ON transfer (circle);
CREATE INDEX transfer_post ON transfer (circle, post_id);
CREATE TABLE chunk (
    transfer BLOB, number INTEGER, blob_id BLOB NOT NULL, done INTEGER NOT NULL, data BLOB,
    PRIMARY KEY (transfer, number)
) WITHOUT ROWID;
"""


def apply(tx: Tx) -> None:
    """Make the tables of version 1."""
    tx.script(TABLES)
