"""The driving ports of a broker in another process, over its Unix socket."""
