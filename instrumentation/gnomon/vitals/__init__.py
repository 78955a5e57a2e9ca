"""Web Vitals: what the browsers of real users measured of an application's pages."""

from gnomon.vitals.serving import web_vitals

__all__ = ["web_vitals"]
