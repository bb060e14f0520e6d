"""The identity layer of the broker: registry, enrolment, issuance, signing authorities, federation, people."""
