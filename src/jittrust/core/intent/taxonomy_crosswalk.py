"""What the codes are called elsewhere: names of the lists that the taxonomy points at, and the labels that are not part of an act itself."""

from __future__ import annotations

from collections.abc import Mapping

OWASP_ASI: Mapping[str, str] = {
    "ASI01": "Agent Goal Hijack",
    "ASI02": "Tool Misuse and Exploitation",
    "ASI03": "Identity and Privilege Abuse",
    "ASI04": "Agentic Supply Chain Vulnerabilities",
    "ASI05": "Unexpected Code Execution",
    "ASI06": "Memory and Context Poisoning",
    "ASI07": "Insecure Inter-Agent Communication",
    "ASI08": "Cascading Failures",
    "ASI09": "Human-Agent Trust Exploitation",
    "ASI10": "Rogue Agents",
}
"""OWASP Top 10 for Agentic Applications (December 2025)."""

OWASP_MCP: Mapping[str, str] = {
    "MCP01": "Token Mismanagement and Secret Exposure",
    "MCP02": "Privilege Escalation via Scope Creep",
    "MCP03": "Tool Poisoning",
    "MCP04": "Software Supply Chain",
    "MCP05": "Command Injection and Execution",
    "MCP06": "Intent Flow Subversion",
    "MCP07": "Insufficient Authentication and Authorization",
    "MCP08": "Lack of Audit and Telemetry",
    "MCP09": "Shadow MCP Servers",
    "MCP10": "Context Injection and Over-Sharing",
}
"""OWASP MCP Top 10 (2025, beta)."""

ATLAS: Mapping[str, str] = {
    "AML.T0051": "Prompt injection",
    "AML.T0053": "Invocation of the agent's tools",
    "AML.T0080": "Poisoning of the agent's context",
    "AML.T0081": "Change of the agent's configuration",
    "AML.T0083": "Credentials from the agent's configuration",
    "AML.T0084": "Discovery of the agent's configuration",
    "AML.T0086": "Exfiltration through tool calls",
    "AML.T0098": "Credentials through the agent's tools",
    "AML.T0101": "Destruction of data through tool calls",
}
"""MITRE ATLAS techniques, in our words."""

OIL: Mapping[str, str] = {
    "OIL-100": "Software Development",
    "OIL-101": "Code Management",
    "OIL-104": "Deployment & Release",
    "OIL-107": "Package & Dependency",
    "OIL-203": "Vulnerability Management",
    "OIL-204": "Identity & Access",
    "OIL-205": "Credential Management",
    "OIL-206": "Security Policy",
    "OIL-207": "Data Protection",
    "OIL-303": "Monitoring & Observability",
    "OIL-305": "Configuration Management",
    "OIL-500": "Financial Operations",
    "OIL-501": "Accounts Payable",
    "OIL-503": "Billing & Invoicing",
    "OIL-507": "Procurement",
    "OIL-904": "Returns & Warranty",
    "OIL-1004": "Knowledge Management",
    "OIL-1005": "Analytics & Reporting",
}
"""Open Intent Layer 2.0 (Apache-2.0), the domains and categories that an act may fall into: a business tag, never a key of security."""

MCP_TOP_OF: Mapping[str, tuple[str, ...]] = {
    "G.delegate_to_content": ("MCP06", "MCP10"), "G.override": ("MCP06",), "P.goal_change": ("MCP06",), "P.self_modify": ("MCP02", "MCP03"),
    "K.list": ("MCP10",), "K.read": ("MCP10",), "K.read_sensitive": ("MCP10",), "K.read_external": ("MCP06", "MCP10"), "K.memory_write": ("MCP10",),
    "D.create": ("MCP06",), "D.update": ("MCP06",), "D.delete": ("MCP06",), "D.bulk": ("MCP02", "MCP06"),
    "C.send_internal": ("MCP10",), "C.send_external": ("MCP06", "MCP10"), "C.publish": ("MCP10",), "C.input_to_form": ("MCP06",),
    "T.order": ("MCP06",), "T.pay": ("MCP06",), "T.schedule_recurring": ("MCP06",), "T.refund": ("MCP06",),
    "I.login": ("MCP01", "MCP07"), "I.read_secret": ("MCP01",), "I.grant": ("MCP02", "MCP07"), "I.invite": ("MCP02",), "I.revoke": ("MCP07",),
    "I.change_credential": ("MCP01",), "I.transfer_owner": ("MCP02",),
    "X.run_code": ("MCP05",), "X.install": ("MCP04", "MCP09"), "X.net_scan": ("MCP05",), "X.deploy": ("MCP05",), "X.config_change": ("MCP02",),
    "X.persist": ("MCP05",), "A.ask": ("MCP10",), "A.delegate": ("MCP02",), "A.spawn": ("MCP02", "MCP09"), "A.escalate_scope": ("MCP02",),
    "O.log": ("MCP08",), "O.approve": ("MCP07",), "O.disable_control": ("MCP08",), "O.delete_evidence": ("MCP08",),
}  # fmt: skip
"""Act → OWASP MCP Top 10 when misused; acts that are not here have none."""

OIL_OF: Mapping[str, tuple[str, ...]] = {
    "K.list": ("OIL-1004",), "K.read": ("OIL-1004", "OIL-1005"), "K.read_sensitive": ("OIL-207",), "K.memory_write": ("OIL-1004",),
    "C.publish": ("OIL-1004",), "T.quote": ("OIL-507",), "T.order": ("OIL-507",), "T.pay": ("OIL-501",), "T.schedule_recurring": ("OIL-503",),
    "T.refund": ("OIL-904", "OIL-500"), "I.login": ("OIL-204",), "I.read_secret": ("OIL-205",), "I.grant": ("OIL-204",), "I.invite": ("OIL-204",),
    "I.revoke": ("OIL-204",), "I.change_credential": ("OIL-205",), "I.transfer_owner": ("OIL-204", "OIL-101"), "X.run_code": ("OIL-100",),
    "X.install": ("OIL-107",), "X.net_scan": ("OIL-203",), "X.deploy": ("OIL-104",), "X.config_change": ("OIL-305",), "O.log": ("OIL-303",),
    "O.approve": ("OIL-206",), "O.disable_control": ("OIL-206",), "O.delete_evidence": ("OIL-206", "OIL-303"),
}  # fmt: skip
"""Act → Open Intent Layer, where one fits by itself; for most acts the object decides the business domain."""

IOT: Mapping[str, tuple[str, ...]] = {
    "REQ.inform": ("G.request",), "REQ.transform": ("G.request",), "REQ.act": ("G.request", "G.delegate_to_content"), "REQ.admin": ("G.request",),
    "REQ.ambiguous": ("G.request",), "REQ.coerce": ("G.override",), "REQ.probe": ("G.override",),
    "GOAL.align": ("disposition:aligned",), "GOAL.sub": ("P.decompose", "disposition:supporting"), "GOAL.expand": ("disposition:over_reach",),
    "GOAL.replace": ("P.goal_change", "disposition:drift"), "GOAL.selfpreserve": ("P.self_modify", "O.disable_control"),
    "GOAL.evade": ("disposition:evasive", "O.delete_evidence"),
    "MEM.recall": ("K.read",), "MEM.write": ("K.memory_write",), "MEM.poison": ("K.memory_write", "disposition:hijack_suspect"),
    "MEM.exfil": ("C.send_external", "object:memory"),
    "ACT.read": ("K.read", "K.list", "K.read_external"), "ACT.write": ("D.create", "D.update", "D.tag"), "ACT.delete": ("D.delete", "D.bulk"),
    "ACT.execute": ("X.run_code", "X.install"), "ACT.pay": ("T.pay", "T.order", "T.schedule_recurring", "T.refund"),
    "ACT.grant": ("I.grant", "I.invite", "I.transfer_owner"), "ACT.deploy": ("X.deploy", "X.config_change"),
    "ACT.message": ("C.notify_self", "C.send_internal", "C.send_external"),
    "CHAIN.recon": ("X.net_scan", "disposition:exploratory"), "CHAIN.stage": ("D.create", "disposition:drift"),
    "CHAIN.exfil": ("C.send_external", "effect:sensitive_out"), "CHAIN.persist": ("X.persist", "effect:persistent"),
    "A2A.delegate": ("A.delegate",), "A2A.query": ("A.ask",), "A2A.instruct": ("A.delegate", "disposition:delegated"), "A2A.escalate": ("A.escalate_scope",),
    "A2A.collude": ("A.ask", "disposition:evasive"),
    "DATA.public": ("K.read",), "DATA.internal": ("K.read",), "DATA.personal": ("K.read_sensitive", "effect:sensitive_in"),
    "DATA.secret": ("I.read_secret", "effect:secret"),
    "AUTH.use": ("I.login",), "AUTH.elevate": ("A.escalate_scope",), "AUTH.harvest": ("I.read_secret",), "AUTH.impersonate": ("I.change_credential",),
    "RUN.normal": ("X.run_code",), "RUN.spawn": ("A.spawn",), "RUN.netscan": ("X.net_scan",), "RUN.tamper": ("O.disable_control", "O.delete_evidence"),
    "RUN.escape": ("X.run_code", "disposition:evasive"),
    "OUT.answer": ("A.report",), "OUT.publish": ("C.publish",), "OUT.deceive": ("A.report", "disposition:evasive"),
    "OUT.harm": ("C.publish", "disposition:hijack_suspect"),
    "X.benign": ("disposition:aligned",), "X.negligent": ("disposition:over_reach",), "X.compromised": ("disposition:hijack_suspect",),
    "X.malicious": ("disposition:evasive",),
}  # fmt: skip
"""The broad table of agentic intent by layer (IOT v0) → our codes. Where it names a degree of sensitivity or a posture, ours is a term, not an act."""
