"""Bearer tokens of Globus Auth, for a service of one's own: ``serve --auth globus``.

registration   how this service is known to Globus Auth
judging        what an introspected token is worth here (pure)
introspection  questions to Globus Auth and Globus Groups, through globus_sdk (blocks)
decisions      what was decided of late, by the token's hash
authenticator  all of it as an `access.Authenticator`
following      what becomes of the tokens of open streams
opening        the last two at a running service
"""
