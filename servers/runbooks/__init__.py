"""What an operator can do about a failed deployment: known classes of failure, each with its remedies.

`facts` holds what is known of one deployment, and `reading` reads it. `building`, `credentials`, `registry`,
`running` and `work` hold the classes, `table` orders them. `remedies` are the actions, with `preconditions`
and `previews`. `diagnosis` joins all of them.
"""
