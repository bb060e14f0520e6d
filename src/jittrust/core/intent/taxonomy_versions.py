"""Which codes came and went with which version. A code is never removed or renamed without a step here, and a retired one never comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TaxonomyStep:
    """One version: the codes that it `added` and those that it `retired`. A step that was released never changes."""

    version: str
    added: frozenset[str]
    retired: frozenset[str] = frozenset()


STEPS: Final[Sequence[TaxonomyStep]] = (
    TaxonomyStep(
        "1",
        frozenset(
            (
                "G.request G.refine G.delegate_to_content G.override P.decompose P.replan P.goal_change P.self_modify K.list K.read K.read_sensitive "
                "K.read_external K.memory_write D.create D.update D.tag D.delete D.bulk C.notify_self C.send_internal C.send_external C.publish "
                "C.input_to_form T.quote T.order T.pay T.schedule_recurring T.refund I.login I.read_secret I.grant I.invite I.revoke I.change_credential "
                "I.transfer_owner X.run_code X.install X.net_scan X.deploy X.config_change X.persist A.ask A.delegate A.report A.spawn A.escalate_scope "
                "O.log O.approve O.disable_control O.delete_evidence"
            ).split()
        ),
    ),
    TaxonomyStep(
        "2",
        frozenset(
            (
                "object:mail object:message object:file object:folder object:event object:repository object:change object:person object:money "
                "object:goods object:reservation object:travel object:web object:channel object:task object:record object:secret object:profile "
                "object:memory object:time object:picture object:agent object:machine object:policy object:ledger object:unknown "
                "role:target role:selector role:command role:credential role:amount role:content role:control "
                "effect:outward effect:destructive effect:reversible effect:money effect:permission effect:secret effect:executes effect:notifies "
                "effect:document effect:open_world effect:sensitive_in effect:sensitive_out effect:bulk effect:persistent "
                "disposition:aligned disposition:supporting disposition:delegated disposition:exploratory disposition:over_reach disposition:drift "
                "disposition:hijack_suspect disposition:evasive"
            ).split()
        ),
    ),
)


def codes_at(version: str) -> frozenset[str]:
    """The codes in force in a version. Raises KeyError for a version that never was."""
    codes: frozenset[str] = frozenset()
    for step in STEPS:
        codes = (codes - step.retired) | step.added
        if step.version == version:
            return codes
    raise KeyError(version)
