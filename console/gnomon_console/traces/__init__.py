"""Traces for machines without Jaeger: taken by OTLP, kept in a bounded file."""
