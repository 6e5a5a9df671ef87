"""Forebay's reading of SQL, held against PostgreSQL's own parser."""
