"""What every request passes before it reaches a route, outermost first: one thing per file.

errors -> host -> origin -> token -> body -> routes
"""
