"""Results and data sets in the formats of other projects, and the JSON Schemas of popeq's own files."""
