"""Caches: functions whose results are kept in one or two tiers, and watched caches of others.

The first tier (``l1``) is this process's memory, the second (``l2``), where there is one, a Redis
that several processes share. Whatever is wrong with a tier, the function itself answers.
"""
