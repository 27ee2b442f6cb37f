"""Wrote ``tests/data/mls/rows1.json`` while layout 1 of a group's rows was the newest.

``python -m tests.support.make_mls_rows1``
"""

from __future__ import annotations

import json
from pathlib import Path

from tertulia_protocol.codec import serialize
from tertulia_protocol.mls.ciphersuite import X25519_AES128
from tertulia_protocol.mls.group_state import GroupSettings
from tests.support.mls_world import everybody_commits, found, spread

TARGET = Path(__file__).parents[1] / "data" / "mls" / "rows1.json"


def main() -> None:
    """Write a member with a row of every kind, and messages that it can follow from there."""
    ada, bo, _cleo = peers = found(X25519_AES128, 3, settings=GroupSettings(max_past_epochs=1))
    everybody_commits(peers)
    late = ada.post(b"late")
    spread(peers, ada.commit(path=True).message)
    skipped = ada.post(b"skipped")
    bo.read(ada.post(b"read"))
    bo.receive(ada.propose_update())
    own = bo.propose_update()
    ada.receive(own)
    pending = bo.commit(references=bo.refs[:1])
    rows = dict(bo.rows)
    commit = ada.commit(references=[bo.refs[1]])
    followed = {"late": late, "skipped": skipped, "own_commit": pending.message, "commit": commit.message}
    stored = {
        "rows": {name: row.hex() for name, row in sorted(rows.items())},
        **{name: serialize(message).hex() for name, message in followed.items()},
        "own_epoch_authenticator": pending.staged.epoch_authenticator.hex(),
        "epoch_authenticator": commit.staged.epoch_authenticator.hex(),
    }
    TARGET.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
