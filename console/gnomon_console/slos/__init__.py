"""Objectives: how each promise to users is kept."""
