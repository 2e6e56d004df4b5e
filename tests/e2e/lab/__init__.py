"""The seed lab: network namespaces, a WAN router, hosts, and our programs on real packets."""
