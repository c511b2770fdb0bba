"""From the text of a statement to a plan: which shards get it and what is done with the answers.

Pure: a statement, the schema and a routing table give a plan. `plan` holds the plans, `build` the
`Planner`. What the planner does not understand it refuses; it never guesses.
"""
