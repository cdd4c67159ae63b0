"""Results: records, tables, the figures of the paper beside them, reports and pictures."""
