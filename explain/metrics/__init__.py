"""How far to trust a map: metrics for any map and any method, also from other libraries."""
