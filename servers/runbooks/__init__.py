"""What an operator does about a deployment that failed: known classes of failure, each with its remedies.

`facts` is what is known of one deployment, `reading` reads it; the modules named for a stage hold the
classes, `table` orders them, `remedies` are what can be pressed, `diagnosis` joins both, `document` writes
the tables of the page.
"""
