"""What a piece of work uses: CPU, memory and GPU, of the process meanwhile and of its own.

Nothing is imported here: ``driving`` and ``ledger`` are loaded with every instrumented
application, the rest only where something is measured.
"""
