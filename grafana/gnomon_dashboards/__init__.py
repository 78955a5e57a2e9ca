"""Builders of the dashboards in ../dashboards: one module for each, over a shared vocabulary.

`make dashboards` writes the files; a test holds that nothing differs.
"""
