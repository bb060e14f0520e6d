"""What a workload asks of the SPIFFE Workload API."""
