"""The console: the dashboards, alerts and traces of a running stack in a browser.

It shows the files in grafana/dashboards, live from Prometheus, where no Grafana is at hand.
"""
