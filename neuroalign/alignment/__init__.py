"""From designs and responses to scores, ceilings, tests and preferred layers."""
