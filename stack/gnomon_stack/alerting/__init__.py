"""Who is told of alerts: alerting.yml, the secrets beside it, and what Alertmanager reads."""
