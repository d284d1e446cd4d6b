"""Who is asking: tokens, users and groups, logins, and the streams that are open with them."""
