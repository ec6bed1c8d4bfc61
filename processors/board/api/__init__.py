"""`/api/v1`, its OpenAPI document, and the health checks."""
