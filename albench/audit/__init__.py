"""Audit by intervention: a query is asked again, in a fresh process, where every mask that was not bought is another.

A strategy that uses no such mask gives the same answer. An answer that changes has looked, by whatever way.
"""
